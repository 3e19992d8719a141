"""`darner rules`: what an operator does with a new file of rules."""

from pathlib import Path

from tests.cli.program import environment, run_darner

OURS = """\
[[prefix]]
pattern = ["make", "release"]
decision = "ask"
justification = "A release is announced."
match = ["make release"]

[[prefix]]
pattern = ["pytest"]
decision = "allow"
"""


async def test_a_file_is_checked(home: Path, tmp_path: Path) -> None:
    """Exit 0 for a file in order; 1 with its line for one whose example does not hold."""
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(OURS)
    bad.write_text(OURS.replace('match = ["make release"]', 'match = ["make"]'))

    ran = await run_darner("rules", "check", str(good), settings=environment(home))
    assert (ran.exit_status, ran.stdout) == (0, f"{good}: 2 rules, all examples as they say.\n")
    ran = await run_darner("rules", "check", str(good), str(bad), settings=environment(home))
    assert ran.exit_status == 1
    assert ran.stderr == f"darner: {bad}:1: the rule should match 'make', and does not\n"


async def test_a_command_is_tried_out(home: Path, tmp_path: Path) -> None:
    """What the rules in force, the built-in ones among them, say of it, with the rule's place."""
    (tmp_path / "ours.toml").write_text(OURS)
    settings = environment(home) | {"DARNER_RULES": str(tmp_path)}

    ran = await run_darner("rules", "test", "--", "make", "release", settings=settings)
    assert ran.exit_status == 1
    assert ran.stdout == (
        "needs a person's leave: make release\n"
        f"  ask make release  ({tmp_path}/ours.toml:1)\n  A release is announced.\n"
    )
    ran = await run_darner("rules", "test", "pytest -q | git push", settings=settings)
    assert ran.exit_status == 1
    assert ran.stdout.startswith("forbidden: git push\n  forbid git push  (")
    ran = await run_darner("rules", "test", "pytest", "-q", settings=settings)
    assert (ran.exit_status, ran.stdout) == (0, f"allowed\n  allow pytest  ({tmp_path}/ours.toml:7)\n")
    ran = await run_darner("rules", "test", "pytest; ls", settings=settings)
    assert (ran.exit_status, ran.stdout) == (0, "runs: no decision (no rule speaks of ls)\n")


async def test_no_turn_begins_under_rules_that_cannot_be_read(home: Path, repo: Path, tmp_path: Path) -> None:
    """A setting that points nowhere is told before anything runs."""
    settings = environment(home) | {"DARNER_RULES": str(tmp_path / "none.toml"), "DARNER_MODEL": "any"}
    ran = await run_darner("exec", "--repo", str(repo), "Do it.", settings=settings)
    assert ran.exit_status == 2
    assert ran.stderr.startswith(f"darner: DARNER_RULES cannot be used. {tmp_path}/none.toml: ")
