"""The packaged manifest: what `opus-dsd manifest --for ccpem` said when this package was made."""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Iterator

#: Form of the file that this package understands.
SCHEMA = 1
#: The host's name in the manifest.
HOST = "ccpem"


class ManifestError(ValueError):
    """The manifest says something that cannot be shown in this host."""


@lru_cache(maxsize=None)
def manifest() -> Dict[str, Any]:
    """The whole manifest, read once.

    Raises:
        ManifestError: It is of another schema.
    """
    read = json.loads((Path(__file__).parent / "manifest.json").read_text())
    if read["schema"] != SCHEMA:
        raise ManifestError(f"manifest.json has schema {read['schema']}, expected {SCHEMA}")
    return read


def job(job_id: str) -> Dict[str, Any]:
    """One job of the manifest, by its id.

    Raises:
        ManifestError: There is none of that id.
    """
    for entry in manifest()["jobs"]:
        if entry["id"] == job_id:
            return entry
    raise ManifestError(f"manifest.json has no job `{job_id}`")


def shown(entry: Dict[str, Any]) -> Iterator[Dict[str, Any]]:
    """Parameters of a job that this host's form shows, in order, each with the title of its `section`."""
    for section in entry["sections"]:
        for param in section["params"]:
            if HOST in param.get("hosts", [HOST]) and param["level"] != "hidden" and param["type"] != "outdir":
                yield {**param, "section": section["title"]}


def default(param: Dict[str, Any]) -> Any:
    """What the form starts with; `None` where the program decides."""
    return param.get("defaults", {}).get(HOST, param.get("default"))
