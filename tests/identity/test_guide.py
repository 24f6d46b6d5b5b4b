"""docs/identities.md says what is true: its program runs, with the unmodified SDK."""

import re
from pathlib import Path

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "identities.md"
MODULES = ("boathouse.auth.discovery", "boathouse.identity.me", "boathouse.identity.scim")


def test_the_program_of_the_guide(served, ready, monkeypatch):
    monkeypatch.setenv("DATABRICKS_HOST", served(*MODULES))
    monkeypatch.setenv("DATABRICKS_TOKEN", ready.token)
    (program,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.S)
    done = {}
    exec(compile(program.replace("[user.user_name", "seen = [user.user_name"), str(GUIDE), "exec"), done)
    assert done["seen"] == ["ann+lab@example.org"]
    assert [user.user_name for user in done["w"].users.list()] == [ready.home.admin]
    (team,) = done["w"].groups.list(filter='displayName eq "team"')
    assert not team.members and [entry.value for entry in team.entitlements] == ["allow-cluster-create"]
