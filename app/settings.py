"""The settings of the process: environment, then `.env`, then `darner.toml`. Reads nothing at import."""

import difflib
import os
import re
import tomllib
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from app.budget_settings import ModelName, ScopedBudgets, WrittenAmounts, WrittenBudgets, WrittenPrice
from app.scope import (
    CacheName,
    OperatorsHost,
    OwnerName,
    RepositoryName,
    Scope,
    VariableName,
    VariablePattern,
    VariableValue,
)
from handlers.ci.settings import CiMode
from handlers.review.settings import ReviewMode
from handlers.wishes import Ceiling
from handlers.written import WrittenLimits, WrittenPath
from harness.approvals import Approvals
from harness.budget import Prices
from sandbox.base import PROTECTED_PATHS, Limits, SandboxMode
from sandbox.images import is_image

GITHUB = "https://github.com"
FULL_ACCESS = SandboxMode.FULL_ACCESS.value
_NAMED = {
    "currency": "must be three capital letters, such as EUR",
    "caches": "must be one name below ~/.cache, such as pip",
    "environment": "must be the name of a variable, such as NODE_ENV",
    "repository_environment": "must be the name of a variable, such as NODE_ENV, or of several: RAILS_*",
}
"""What such names are like."""
_TABLE = """'{"memory": "4GiB"}'"""
_SYSTEM = Path("/usr")
"""Shown in every sandbox."""


class Settings(BaseSettings):
    """The contract of names: every field is `DARNER_<NAME>` unless its alias says otherwise."""

    model_config = SettingsConfigDict(
        env_prefix="DARNER_",
        # A variable that is set to nothing (a Compose file, a CI secret that is missing) is not set.
        env_ignore_empty=True,
        env_file=".env",
        toml_file="darner.toml",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    home: Path = Field(default_factory=lambda: default_home())
    """Where data lives: the database, the mirrors, the checkouts."""
    database_url: str = ""
    """SQLAlchemy URL; empty: `darner.db` in `home`."""
    store_url: str = ""
    """An fsspec URL where files of turns go from machine to machine; empty: `blobs` in `home`."""

    github_url: str = GITHUB
    """The forge's web root."""
    github_token: SecretStr | None = None
    github_app_id: int | None = None
    github_app_key: SecretStr | None = None
    """The App's private key: PEM text, or the path of a file that holds it."""
    webhook_secret: SecretStr | None = None
    """Two, comma-separated, while rotating."""
    mention: str = ""
    """The name people write after `@`; empty: the App's slug, else `darner`."""
    allowed_bots: Annotated[frozenset[int], NoDecode] = frozenset()
    """Numeric user ids of bots that may ask for turns."""
    write_spacing_seconds: float | None = Field(default=None, ge=0)
    """Between two writes to the forge, which then also has GitHub's limits on content; 0: it counts none."""
    reconcile_minutes: float = Field(default=30.0, gt=0)
    """Between two looks whether the conversations that Darner is busy with still go on."""
    admit_readers: bool = False
    """Let people without write permission start read-only turns."""

    model: str = ""
    model_wire: Literal["responses", "chat"] = "responses"
    openai_base_url: str = Field(
        default="https://api.openai.com/v1",
        validation_alias=AliasChoices("OPENAI_BASE_URL", "openai_base_url"),
    )
    openai_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("OPENAI_API_KEY", "openai_api_key")
    )

    context_window: int | None = Field(default=None, ge=2_000)
    """Tokens that a request to the model may have; unset: as the table of known models says, else unknown."""
    compact_at: float = Field(default=0.8, ge=0.3, le=0.95)
    """The share of the window at which a long history is made short."""

    sandbox: Literal["auto", "bubblewrap", "docker"] = "auto"
    sandbox_mode: Literal["read-only", "workspace-write", "danger-full-access"] = "workspace-write"
    """The widest mode any turn may have; the last one by `darner.toml` only."""
    sandbox_limits: WrittenLimits = WrittenLimits()
    """The most that a command may use."""
    sandbox_audit: bool = True
    """Note each program that a command starts."""
    sandbox_read_only: Annotated[tuple[Path, ...], NoDecode] = ()
    """Further directories shown read-only inside (toolchains outside `/usr`), separated by `:`."""
    sandbox_image: str = ""
    """What the docker driver runs; empty: the image that the Dockerfile's `sandbox` stage makes."""
    sandbox_images: Annotated[tuple[str, ...], NoDecode] = ()
    """Images that a repository may ask for instead, separated by commas: `NAME:TAG`, `NAME:*`, `PLACE/*`."""
    sandbox_runtime: str = ""
    """The docker driver's OCI runtime, such as `runsc`; empty: the Engine's own default."""
    docker_host: str = ""
    """The Engine's address; empty: the local socket."""
    allowed_hosts: Annotated[tuple[OperatorsHost, ...], NoDecode] = ()
    """What turns may reach, by the egress proxy; none: no network."""
    fork_network: bool = False
    """Let turns on a fork's code reach the allowed hosts, too."""
    protected_paths: Annotated[tuple[WrittenPath, ...], NoDecode] = ()
    """Added to the built-in ones."""
    caches: Annotated[tuple[CacheName, ...], NoDecode] = ()
    """Names below `~/.cache` that turns of one repository and one trust level share."""
    environment: dict[VariableName, VariableValue] = Field(default_factory=dict)
    """Variables of every command. Every turn can read them: no place for secrets."""
    repository_environment: Annotated[tuple[VariablePattern, ...], NoDecode] = ()
    """Variables that a repository may set; a `*` at the end is any ending."""
    organisation: dict[OwnerName, Scope] = Field(default_factory=dict)
    """Narrower settings for the repositories of one owner."""
    repository: dict[RepositoryName, Scope] = Field(default_factory=dict)
    """Narrower settings for one repository."""
    rules: Path | None = None
    """A TOML file, or a folder of them, of rules that allow, ask for or forbid commands."""

    review: ReviewMode = ReviewMode.AUTO
    """What reviews of pull requests may be made at most; a repository says what it wants of it."""
    review_runs_fork_code: bool = False
    """Whether a review may run commands in the code of a fork; else it reads files only."""
    review_quiet_seconds: float = Field(default=20.0, ge=0, le=3600, allow_inf_nan=False)
    """How long a branch must be quiet after a push before it is reviewed by itself; of many, the newest."""
    ci_repair: CiMode = CiMode.AUTO
    """How far failed checks may be repaired unasked at most; a repository opts in."""
    approvals: Literal["never", "on-request", "untrusted"] = "on-request"
    """When a turn asks people."""
    approvable_hosts: Annotated[tuple[OperatorsHost, ...], NoDecode] = ()
    """Hosts that people with write permission may add to one turn's network, when it asks for them."""
    approval_hours: float = Field(default=72.0, gt=0, le=24 * 365, allow_inf_nan=False)
    """How long a request waits for an answer; then it counts as denied."""

    max_turns: int = Field(default=4, ge=1, le=256)
    """Turns running at once in this process."""
    max_turns_total: int | None = Field(default=None, ge=1)
    """Turns running at once in all processes on one database."""
    max_turns_repository: int | None = Field(default=None, ge=1)
    """The same, of one repository."""
    work: bool = True
    """Whether `darner serve` does work, too; else `darner worker` has to."""
    turn_steps: int = Field(default=200, ge=1)
    turn_tokens: int = Field(default=4_000_000, ge=1)
    turn_seconds: float = Field(default=3600.0, gt=0)
    budget: WrittenBudgets = WrittenBudgets()
    """What a turn, a conversation, and in a day a repository, a person and the whole server may spend."""
    prices: dict[ModelName, WrittenPrice] = Field(default_factory=dict)
    """Of a million tokens, by the model's name, or by its beginning with a `*`."""
    currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    """Of all prices and amounts of money: a label."""

    host: str = "127.0.0.1"
    port: int = Field(default=8484, ge=0, le=65535)
    admin_token: SecretStr | None = None
    """For the API and the pages; without it they answer on loopback only."""

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if value and urlsplit(value).scheme.partition("+")[0] not in {"sqlite", "postgresql"}:
            # Not shown: it may hold a password.
            msg = "write it as sqlite:////PATH or postgresql://USER:PASSWORD@HOST/NAME"
            raise ValueError(msg)
        return value

    @field_validator("store_url")
    @classmethod
    def _open_store(cls, value: str) -> str:
        if value and (not urlsplit(value).scheme or "@" in urlsplit(value).netloc):
            msg = "write it as file:///PATH or s3://BUCKET/PATH; credentials have places of their own"
            raise ValueError(msg)
        return value

    @field_validator("allowed_bots", mode="before")
    @classmethod
    def _split_ids(cls, value: Any) -> Any:
        return [part for part in value.replace(",", " ").split() if part] if isinstance(value, str) else value

    @field_validator(
        "sandbox_images",
        "allowed_hosts",
        "approvable_hosts",
        "protected_paths",
        "caches",
        "repository_environment",
        mode="before",
    )
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        return (
            [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        )

    @field_validator("sandbox_read_only", mode="before")
    @classmethod
    def _split_paths(cls, value: Any) -> Any:
        return [part for part in value.split(":") if part] if isinstance(value, str) else value

    @field_validator("sandbox_images")
    @classmethod
    def _image_patterns(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pattern in value:
            if not is_image(pattern.removesuffix("/*").removesuffix(":*")):
                msg = f"{pattern!r} is no image; write python:3.13, python:* or ghcr.io/acme/*"
                raise ValueError(msg)
        return value

    @field_validator("github_url", "openai_base_url")
    @classmethod
    def _web_root(cls, value: str) -> str:
        parts = urlsplit(value)
        if "@" in parts.netloc:
            msg = "an address holds no credentials; there are settings for them"
            raise ValueError(msg)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            msg = f"{value!r} is not a web address; write it as https://HOST"
            raise ValueError(msg)
        return value.rstrip("/")

    @model_validator(mode="after")
    def _one_identity(self) -> "Settings":
        if self.github_token is not None and self.github_app_id is not None:
            msg = "both DARNER_GITHUB_TOKEN and DARNER_GITHUB_APP_ID are set; keep the one to act as"
            raise ValueError(msg)
        if (self.github_app_id is None) != (self.github_app_key is None):
            msg = "an App needs both DARNER_GITHUB_APP_ID and DARNER_GITHUB_APP_KEY"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _full_access_is_for_few(self) -> "Settings":
        if self.sandbox_mode != "danger-full-access":
            return self
        if self.admit_readers:
            msg = f"{FULL_ACCESS} and admit_readers do not go together; take one of them away"
            raise ValueError(msg)
        if self.sandbox == "docker":
            msg = f"the docker driver has no {FULL_ACCESS}; set sandbox to bubblewrap, or change sandbox_mode"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _nothing_of_ours_is_shown(self) -> "Settings":
        """What is shown inside the sandbox must not hold the database, nor a key."""
        key = self.github_app_key.get_secret_value() if self.github_app_key else ""
        ours = {"DARNER_HOME": self.home}
        if key and "-----BEGIN" not in key:
            ours["DARNER_GITHUB_APP_KEY"] = Path(key).expanduser()
        for shown in (_SYSTEM, *self.sandbox_read_only):
            for name, place in ours.items():
                if place.resolve().is_relative_to(shown.resolve()):
                    msg = f"{name} ({place}) lies in {shown}, which every turn can read; move one of them"
                    raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _money_can_be_counted(self) -> "Settings":
        """A budget in money that no price counts against would be none."""
        scopes = (*self.organisation.values(), *self.repository.values())
        counts_money = self.budget.budgets.counts_money or any(
            scope.budget.budgets.counts_money for scope in scopes
        )
        if counts_money and self.model and self.price_table.price_of(self.model) is None:
            msg = (
                f"a budget is in money, and there is no price of {self.model}; add "
                f'[prices."{self.model}"] with '
                "input and output (for a million tokens) to darner.toml, or say the budget in tokens"
            )
            raise ValueError(msg)
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        del file_secret_settings
        for source in (env_settings, dotenv_settings):
            if (
                isinstance(source, EnvSettingsSource)
                and source.env_vars.get("darner_sandbox_mode") == FULL_ACCESS
            ):
                msg = (
                    f"DARNER_SANDBOX_MODE: {FULL_ACCESS} is never taken from the environment. Who means it "
                    f'writes sandbox_mode = "{FULL_ACCESS}" into darner.toml.'
                )
                raise SettingsRefused(msg)
        return init_settings, env_settings, dotenv_settings, _OperatorsFile(settings_cls)

    @property
    def ceiling(self) -> Ceiling:
        """What any turn may have at most."""
        scopes = {**self.organisation, **self.repository}
        images = (self.sandbox_image, *self.sandbox_images) if self.sandbox_image else self.sandbox_images
        return Ceiling(
            mode=SandboxMode(self.sandbox_mode),
            admits_readers=self.admit_readers,
            limits=replace(Limits(), **self.sandbox_limits.by_field),
            protected_paths=tuple(dict.fromkeys((*PROTECTED_PATHS, *self.protected_paths))),
            allowed_hosts=self.allowed_hosts,
            forks_reach_hosts=self.fork_network,
            caches=self.caches,
            environment=self.environment,
            open_names=self.repository_environment,
            # The bubblewrap driver shows the machine's own system: it runs no image.
            images=images if self.sandbox == "docker" else (),
            approvals=Approvals(self.approvals),
            review=self.review,
            review_runs_fork_code=self.review_runs_fork_code,
            ci_repair=self.ci_repair,
            approvable_hosts=self.approvable_hosts,
            approval_seconds=self.approval_hours * 3600,
            scopes={name: scope.wishes for name, scope in scopes.items()},
            budgets=self.budget.budgets,
            currency=self.currency if self.price_table.price_of(self.model) is not None else "",
        )

    @property
    def price_table(self) -> Prices:
        return Prices({name: written.price for name, written in self.prices.items()}, self.currency)

    @property
    def sql_url(self) -> str:
        return self.database_url or f"sqlite:///{self.home / 'darner.db'}"

    @property
    def api_url(self) -> str:
        """https://docs.github.com/en/enterprise-server/rest/about-the-rest-api/about-the-rest-api"""
        return "https://api.github.com" if self.github_url == GITHUB else f"{self.github_url}/api/v3"

    @property
    def write_spacing(self) -> float:
        """A second, as GitHub wants it; a forge on this machine counts nothing."""
        if self.write_spacing_seconds is not None:
            return self.write_spacing_seconds
        return 0.0 if urlsplit(self.github_url).hostname in {"127.0.0.1", "::1", "localhost"} else 1.0

    @property
    def webhook_secrets(self) -> tuple[str, ...]:
        if self.webhook_secret is None:
            return ()
        return tuple(
            part.strip() for part in self.webhook_secret.get_secret_value().split(",") if part.strip()
        )

    @property
    def app_key_pem(self) -> str:
        """The App's key itself. Raises OSError or UnicodeDecodeError for a file that cannot be read."""
        value = self.github_app_key.get_secret_value() if self.github_app_key else ""
        if "-----BEGIN" in value:
            # Where a variable can hold one line only, its line ends are written as two characters.
            return value if "\n" in value else value.replace("\\n", "\n")
        return Path(value).expanduser().read_text()

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every live secret of the process: what must never leave it."""
        values = [self.github_token, self.openai_api_key, self.admin_token]
        found = [value.get_secret_value() for value in values if value is not None]
        found.append(urlsplit(self.database_url).password or "")
        key = self.github_app_key.get_secret_value() if self.github_app_key else ""
        # As a path the App's key is no secret.
        keys = [key] if "-----BEGIN" in key else []
        password = unquote(urlsplit(self.database_url).password or "")
        return tuple(
            secret for secret in (*found, *keys, password, *self.webhook_secrets) if len(secret) >= 8
        )


class _OperatorsFile(TomlConfigSettingsSource):
    """`darner.toml`. A word that is no setting is refused: it could be a ceiling that nobody would miss."""

    def __call__(self) -> dict[str, Any]:
        known = self.settings_cls.model_fields
        for key in self.toml_data:
            if key.lower() not in known:
                near = difflib.get_close_matches(key.lower().removeprefix("darner_"), list(known), n=1)
                hint = f" Did you mean {near[0]}?" if near else ""
                msg = f"darner.toml: {key} is not a setting.{hint}"
                raise SettingsRefused(msg)
        return super().__call__()


class EnvironmentSettings(Settings):
    """From the environment alone: where the files around are what a turn works on, and may have written."""

    model_config = SettingsConfigDict(env_file=None, toml_file=None)


def default_home() -> Path:
    """`$XDG_DATA_HOME/darner`, else `~/.local/share/darner`.

    https://specifications.freedesktop.org/basedir-spec/latest/
    """
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path.home() / ".local" / "share") / "darner"


class SettingsRefused(Exception):
    """A setting is missing or wrong; the message names it and says what to write."""


def load_settings(kind: type[Settings] = Settings, **overrides: Any) -> Settings:
    """Read the settings. Raises `SettingsRefused` with every fault, never with a secret's value."""
    try:
        return kind(**overrides)
    except ValidationError as error:
        found = error.errors(include_input=False)
        faults = "; ".join(_told(fault["loc"], fault["type"], fault["msg"]) for fault in found)
        msg = f"The settings cannot be used. {faults}"
        raise SettingsRefused(msg) from None
    except SettingsError as error:
        found_name = re.search(r'field "(\w+)"', str(error))
        name = f"DARNER_{found_name[1].upper()}" if found_name else str(error)
        msg = f"The settings cannot be used. {name}: in a variable a table is written as JSON, as in {_TABLE}"
        raise SettingsRefused(msg) from None
    except tomllib.TOMLDecodeError as error:
        msg = f"darner.toml is not valid TOML: {error}"
        raise SettingsRefused(msg) from None
    except (UnicodeDecodeError, OSError) as error:
        msg = f"darner.toml or .env cannot be read: {error}"
        raise SettingsRefused(msg) from None


def _told(location: tuple[int | str, ...], kind: str, message: str) -> str:
    said = message.removeprefix("Value error, ").replace("Input should be", "must be")
    if kind == "extra_forbidden":
        said = f"is not known here. Known are {', '.join(_known_at(location))}."
    if kind == "string_pattern_mismatch":
        said = _NAMED.get(str(location[0]), said)
    if not location:
        return said
    name = str(location[0])
    setting = name.upper() if name.lower().startswith("openai") else f"DARNER_{name.upper()}"
    return f"{'.'.join((setting, *map(str, location[1:])))}: {said}"


def _known_at(location: tuple[int | str, ...]) -> Collection[str]:
    """The words that may stand where a word was that may not."""
    if "sandbox_limits" in location:
        return WrittenLimits.model_fields
    if "prices" in location:
        return WrittenPrice.model_fields
    if "budget" not in location:
        return Scope.model_fields
    if len(location) - location.index("budget") > 2:
        return WrittenAmounts.model_fields
    return WrittenBudgets.model_fields if location[0] == "budget" else ScopedBudgets.model_fields
