"""Manifests and run files changed and signed again, as a newer ganzoo or an enemy could."""

import json

from ganzoo.io import checkpoints as checkpoint


def sign(folder, change):
    """Change the manifest of a checkpoint folder in place, and make its sum anew."""
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    manifest["sha256"] = checkpoint._digest(manifest)
    (folder / "manifest.json").write_bytes(checkpoint._serialised(manifest))
