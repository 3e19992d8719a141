"""What is shipped for containers agrees with the policy it is made from, and with what the documents say."""

import yaml

from sandbox.service_profile import service_profile
from tests.container.documented import ROOT, documented_flags


def test_the_profile_is_made_from_the_policy() -> None:
    """Else: `python -m sandbox.service_profile > deploy/seccomp.json`."""
    assert (ROOT / "deploy" / "seccomp.json").read_text() == service_profile()


def test_the_compose_file_asks_for_what_is_documented() -> None:
    """The same flags in other words."""
    service = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())["services"]["worker"]
    asked = {
        *(f"--security-opt {option}" for option in service["security_opt"]),
        *(f"--cap-drop {capability}" for capability in service["cap_drop"]),
        *(f"--tmpfs {place}" for place in service["tmpfs"]),
        f"--memory {service['mem_limit']}",
        f"--pids-limit {service['pids_limit']}",
    }
    asked |= {"--read-only"} if service["read_only"] else set()

    # Compose reads the path as beginning at its own file.
    documented = {flag.replace("deploy/seccomp.json", "seccomp.json") for flag in documented_flags()}
    assert asked == documented
