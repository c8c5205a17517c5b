"""Lines that are printed to be copied into a shell hold
only what installs or resumes, whatever a file says.
"""

import pytest
from hostile import BAD, forge

import ganzoo
from ganzoo.components import catalogue as catalog
from ganzoo.components.catalogue import install_line
from ganzoo.components.registry import Registry
from ganzoo.errors import BadFile, BadRun, UnknownComponent
from ganzoo.training import run_folder as runs

NAMES = (
    "x; rm -rf ~", "--index-url=http://x", "-r", "$(id)", "a b", "x\n", "x" * 200, "a/b",
    "git+https://x", "x-", ".x", "K\u212a", "x[extra]", "x==1", BAD,
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_only_names_of_distributions_are_to_be_installed(name, tmp_path, monkeypatch):
    assert "pip" not in install_line(name)
    with pytest.raises(BadRun) as run:
        runs.check_installed({"plugins": {"gen": f"{name}:x"}}, set(), tmp_path)
    catalogued = {"plugins": {"x": {"distribution": name, "generators": ["strange"]}}}
    monkeypatch.setattr(catalog, "catalogue", lambda: catalogued)
    with pytest.raises(UnknownComponent) as unknown:
        Registry().get("generator", "strange")
    with pytest.raises(BadFile) as file:
        ganzoo.load(forge(tmp_path, distribution=name))
    for caught in (run, unknown, file):
        assert "pip install" not in str(caught.value) and str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["ganzoo-soft", "x", "a.b_c-9"])
def test_a_valid_name_is_quoted_and_offered(name, tmp_path):
    assert install_line(name) == f"pip install {name}"
    assert install_line(name, "ganzoo install -U") == f"ganzoo install -U {name}"
    with pytest.raises(BadRun, match=f"pip install {name}"):
        runs.check_installed({"plugins": {"gen": f"{name}:x"}}, set(), tmp_path)
    with pytest.raises(BadFile, match=f"pip install {name} "):
        ganzoo.load(forge(tmp_path, distribution=name))
