"""`darner patch` on a real directory: what people type, and what they get."""

from pathlib import Path

from tests.cli.program import Ran, environment, fingerprint, run_darner

PATCH = """\
*** Begin Patch
*** Update File: greet.py
@@ def greet():
-    return "helo"
+    return "hello"
*** Add File: docs/new.txt
+new
*** Delete File: notes.txt
*** End Patch
"""


async def test_a_patch_from_standard_input_is_applied_and_summed_up(home: Path, repo: Path) -> None:
    """Exit 0, a summary, the files changed, and nothing in `.git`."""
    git_before = fingerprint(repo / ".git")
    ran = await run_darner("patch", "--repo", str(repo), settings=environment(home), stdin=PATCH.encode())
    assert ran == Ran(
        0, "Success. Updated the following files:\nA docs/new.txt\nM greet.py\nD notes.txt\n", ""
    )
    assert (repo / "greet.py").read_text() == 'def greet():\n    return "hello"\n'
    assert (repo / "docs/new.txt").read_text() == "new\n"
    assert not (repo / "notes.txt").exists()
    assert fingerprint(repo / ".git") == git_before


async def test_a_patch_from_a_file_is_applied_to_the_directory_one_is_in(
    home: Path, repo: Path, tmp_path: Path
) -> None:
    """Without `--repo`, the current directory is meant; the mode of a script stays."""
    (repo / "greet.py").chmod(0o755)
    (tmp_path / "change.patch").write_text(PATCH)
    ran = await run_darner("patch", str(tmp_path / "change.patch"), settings=environment(home), cwd=repo)
    assert ran.exit_status == 0
    assert (repo / "greet.py").stat().st_mode & 0o777 == 0o755


async def test_a_patch_that_does_not_fit_leaves_the_directory_as_it_was(home: Path, repo: Path) -> None:
    """Exit 1, the line of the patch and what was not found, and not one byte changed."""
    before = fingerprint(repo)
    patch = PATCH.replace("*** Delete File: notes.txt", "*** Update File: notes.txt\n@@\n-three\n+3")
    assert await run_darner(
        "patch", "--repo", str(repo), settings=environment(home), stdin=patch.encode()
    ) == Ran(
        1,
        "",
        "darner: Nothing was changed. Patch line 9: Failed to find expected lines in notes.txt:\nthree\n",
    )
    assert fingerprint(repo) == before


async def test_a_patch_cannot_leave_the_directory_nor_enter_git(
    home: Path, repo: Path, tmp_path: Path
) -> None:
    """Paths that lead outside, through a symbolic link, or into `.git` are refused with the reason."""
    (tmp_path / "secret").mkdir()
    (repo / "link").symlink_to(tmp_path / "secret")
    before = fingerprint(tmp_path)
    told = [
        (
            await run_darner("patch", "--repo", str(repo), settings=environment(home), stdin=text.encode())
        ).stderr
        for text in (
            f"*** Begin Patch\n*** Add File: {path}\n+x\n*** End Patch\n"
            for path in ("../out", "/etc/darner", "link/in", ".git/hooks/pre-commit", "a/../b")
        )
    ]
    start = "darner: Nothing was changed. Patch line 2: "
    assert told == [
        f"{start}../out: '..' has no place in the path of a patch\n",
        f"{start}/etc/darner: outside the checkout\n",
        f"{start}link/in: leads outside the checkout\n",
        f"{start}.git/hooks/pre-commit: .git is not for tools to read or change\n",
        f"{start}a/../b: '..' has no place in the path of a patch\n",
    ]
    assert fingerprint(tmp_path) == before


async def test_bytes_that_are_no_text_survive(home: Path, repo: Path) -> None:
    """A Latin-1 file can be patched, by a Latin-1 patch even."""
    (repo / "latin.txt").write_bytes(b"caf\xe9\nth\xe9\n")
    patch = b"*** Begin Patch\n*** Update File: latin.txt\n@@\n caf\xe9\n-th\xe9\n+tee\n*** End Patch\n"
    ran = await run_darner("patch", "--repo", str(repo), settings=environment(home), stdin=patch)
    assert ran.exit_status == 0
    assert (repo / "latin.txt").read_bytes() == b"caf\xe9\ntee\n"


async def test_a_directory_that_is_not_there_is_a_usage_error(home: Path) -> None:
    """Exit 2, as for every mistake on the command line."""
    ran = await run_darner("patch", "--repo", "/does/not/exist", settings=environment(home))
    assert (ran.exit_status, "/does/not/exist" in ran.stderr) == (2, True)
