"""The rules of the house that a machine can check."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = {".py", ".java", ".c", ".sh"}
LONGEST = 500
FORBIDDEN_NAMES = re.compile(r"(^|/)(utils?|helpers?|common|misc|manager)(\.py|/)")


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    return [name for name in listed if name and (ROOT / name).is_file()]


def test_no_source_file_is_longer_than_500_lines():
    lengths = {
        name: len((ROOT / name).read_text(errors="replace").splitlines()) for name in tracked() if Path(name).suffix in SOURCE
    }
    assert {name: lines for name, lines in lengths.items() if lines > LONGEST} == {}


def test_no_room_is_named_after_nothing():
    assert [name for name in tracked() if FORBIDDEN_NAMES.search(name)] == []


def test_every_module_says_where_it_stands():
    silent = [
        name
        for name in tracked()
        if name.startswith("boathouse/") and name.endswith(".py") and "/versions/" not in name
        and (text := (ROOT / name).read_text()).strip() and not text.lstrip().startswith(('"""', "#!"))
    ]  # fmt: skip
    assert silent == []


def test_every_setting_is_documented():
    from boathouse.settings import FIELDS

    text = (ROOT / "docs" / "settings.md").read_text()
    assert [name for name in FIELDS if f"`{name}`" not in text] == []


def test_links_in_the_documents_lead_somewhere():
    broken = [
        f"{name}: {target}"
        for name in tracked()
        if name.endswith(".md")
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", (ROOT / name).read_text())
        if "://" not in target and not ((ROOT / name).parent / target).exists()
    ]
    assert broken == []


def test_every_package_has_a_row_in_the_architecture():
    rooms = {name.split("/")[1].removesuffix(".py") for name in tracked() if re.fullmatch(r"boathouse/\w+(\.py|/.*)", name)}
    text = (ROOT / "docs" / "architecture.md").read_text()
    table = "\n".join(line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    assert {room for room in rooms - {"__init__"} if f"`{room}`" not in table} == set()


def test_every_document_can_be_found_from_the_first_page():
    pages = {name for name in tracked() if re.fullmatch(r"docs/[\w-]+\.md", name)}
    linked = set(re.findall(r"\]\((docs/[\w-]+\.md)", (ROOT / "README.md").read_text()))
    assert pages - linked == set()


def test_decisions_have_one_number_each():
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    numbers = [int(page.name.split("-")[0]) for page in pages]
    assert sorted(set(numbers)) == numbers
    wrong = [page.name for page, number in zip(pages, numbers, strict=True) if not page.read_text().startswith(f"# {number}. ")]
    assert wrong == []
