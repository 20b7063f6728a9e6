"""OPUS-DSD in Scipion, through the `opus-dsd` program. Importing this runs nothing."""

import logging
import os
import shutil
import subprocess
from functools import lru_cache

import pwem
import pyworkflow.utils as pwutils
from pyworkflow import VarTypes

from . import manifest
from .constants import OPUSDSD_RS_ARCHIVE, OPUSDSD_RS_BIN, PROGRAM

__version__ = "0.1.0"
_logo = "opusdsdrs_logo.png"
_references = ["Luo2023"]

logger = logging.getLogger(__name__)
#: Seconds that the program may take to say its version.
PATIENCE_S = 20
#: Unpacks the release archive that the variable names, or links the program that is on the PATH.
INSTALL = ('if [ -n "${archive}" ]; then tar -xf "${archive}" && found="$(find "$PWD" -type f -name {program} -perm -u+x | head -n 1)"; '
           'else found="$(command -v {program})"; fi; '
           'test -n "$found" || {{ echo "set {archive} to the release archive of opus-dsd, or put opus-dsd on the PATH"; exit 1; }}; '
           'ln -sf "$found" {program}')


class Plugin(pwem.Plugin):
    _url = "https://github.com/opus-dsd/opus-dsd"
    _supportedVersions = [manifest.version()]

    @classmethod
    def _defineVariables(cls):
        cls._defineVar(OPUSDSD_RS_BIN, cls._installed(), var_type=VarTypes.PATH,
                       description="Path of the opus-dsd executable; its engine lies beside it. Without, opus-dsd is looked for on the PATH.")

    @classmethod
    def _installed(cls):
        return os.path.join(pwem.Config.EM_ROOT, "opusdsdrs-" + manifest.version(), PROGRAM)

    @classmethod
    def getProgram(cls):
        """Path of the executable; None where there is none."""
        named = os.path.expanduser(cls.getVar(OPUSDSD_RS_BIN) or "")
        if named != cls._installed() or os.path.exists(named):
            return shutil.which(named)
        return shutil.which(PROGRAM)

    @classmethod
    def getEnviron(cls):
        return pwutils.Environ(os.environ)

    @classmethod
    def getActiveVersion(cls, home=None, versions=None):
        program = cls.getProgram()
        return _version(program, os.stat(program).st_mtime_ns) if program else ""

    @classmethod
    def validateInstallation(cls):
        program = cls.getProgram()
        if program is None:
            return ["%s: there is no program at %s, nor %s on the PATH." % (OPUSDSD_RS_BIN, cls.getVar(OPUSDSD_RS_BIN), PROGRAM),
                    "Set %s in scipion.conf, or run: scipion3 installb opusdsdrs" % OPUSDSD_RS_BIN]
        there, ours = cls.getActiveVersion(), manifest.version()
        if not there:
            return ["%s --version fails; run it in a terminal to see why." % program]
        if _compatible(there) != _compatible(ours):
            return ["%s is of version %s, this plugin speaks with %s: update the older of the two." % (program, there, ours)]
        if there != ours:
            logger.warning("opus-dsd is of version %s, the plugin's forms are of %s", there, ours)
        return []

    @classmethod
    def defineBinaries(cls, env):
        command = INSTALL.format(program=PROGRAM, archive=OPUSDSD_RS_ARCHIVE)
        env.addPackage("opusdsdrs", version=manifest.version(), tar="void.tgz", commands=[(command, PROGRAM)], neededProgs=["tar"],
                       default=True)


def _compatible(version):
    """What must agree: the first number, before 1.0 the second as well."""
    numbers = version.split("-")[0].split(".")
    return numbers[:2] if numbers[0] == "0" else numbers[:1]


@lru_cache(maxsize=None)
def _version(program, _changed_ns):
    """Version that an executable says it has; empty where it does not run."""
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=PATIENCE_S, env=Plugin.getEnviron())
    except (OSError, subprocess.SubprocessError):
        return ""
    words = done.stdout.split()
    return words[1] if done.returncode == 0 and len(words) > 1 else ""
