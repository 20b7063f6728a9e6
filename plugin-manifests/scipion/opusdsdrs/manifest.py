"""The packaged manifest: every option of the program, from which forms and command lines are made.

It is written by `opus-dsd manifest --for scipion`; nothing is run to read it, so that forms show where the program is missing.
"""

import json
import os
import re
from functools import lru_cache

#: Schema that this module reads.
SCHEMA = 1
#: How the manifest calls this host.
HOST = "scipion"
#: Of these Scipion's GPU box takes care.
OF_THE_GPU_BOX = {"device", "num_gpus"}
#: For files that lack something: here the particles know all of it, and another value would contradict the project's.
OF_THE_PARTICLES = {"train": {"datadir", "poses", "ctf", "apix", "voltage", "cs", "amplitude_contrast", "phase_shift"}}


@lru_cache(maxsize=None)
def load():
    """The manifest as written."""
    with open(os.path.join(os.path.dirname(__file__), "manifest.json")) as file:
        manifest = json.load(file)
    if manifest["schema"] != SCHEMA:
        raise ValueError("manifest.json has schema %s, this plugin reads %d" % (manifest["schema"], SCHEMA))
    return manifest


def version():
    """Version of the program that the manifest was written by."""
    return load()["version"]


def job(name):
    """A job of the manifest: `train`, `analyse` or `decode`."""
    return next(j for j in load()["jobs"] if j["id"] == name)


def verb(name):
    """The program's word for a job."""
    return job(name)["command"][0]


def sections(name):
    """Title and shown parameters of every section of a job's form."""
    for section in job(name)["sections"]:
        shown = [p for p in section["params"] if is_shown(p) and p["id"] not in OF_THE_PARTICLES.get(name, ())]
        if shown:
            yield section["title"], shown


def is_shown(param):
    """Whether a form of Scipion has the parameter."""
    if param.get("level") == "hidden" or param["type"] == "outdir" or param["id"] in OF_THE_GPU_BOX:
        return False
    return "hosts" not in param or HOST in param["hosts"]


def scipion_name(param):
    """Name of a parameter in forms and saved workflows."""
    name = param.get("names", {}).get(HOST)
    return name or re.sub("_(.)", lambda m: m.group(1).upper(), param["id"])


def default(param):
    """Value that a form starts with; None where the program decides."""
    return param.get("defaults", {}).get(HOST, param.get("default"))
