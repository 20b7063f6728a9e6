"""Running `opus-dsd` from a step, and looking at what it has so far."""

import json
import logging
import os
import shutil
import threading
import time

from . import Plugin, form
from .constants import STATUS_WRONG_USE

logger = logging.getLogger(__name__)
#: Seconds between two looks at a running job.
LOOK_S = 1.0
#: Where settings no longer fit, the earlier job is kept under this name until the next time.
SET_ASIDE = "-before"


class ProgramFailed(Exception):
    """The program ended with another status than 0; the message is its own."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


def read_results(folder):
    """What a job folder has so far (`results.json`); None before the first epoch."""
    try:
        with open(os.path.join(folder, "results.json")) as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def run(protocol, words, folder, look):
    """Runs the program with these words and `--o folder`; `look` is called with the results each time they have grown.

    A job that is in the folder goes on. Where it was begun with settings that no longer fit, the program refuses; then the job is
    set aside and a new one is begun, and where that is refused as well, the earlier one is put back.
    """
    begun = os.path.exists(os.path.join(folder, "settings.json"))
    try:
        _run_once(protocol, words, folder, look)
    except ProgramFailed as refused:
        if refused.status != STATUS_WRONG_USE or not begun:
            raise
        protocol.info("The settings do not fit the job that was begun (%s), so a new one is begun." % refused)
        aside = folder + SET_ASIDE
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(folder, aside)
        try:
            _run_once(protocol, words, folder, look)
        except ProgramFailed as failed:
            if failed.status == STATUS_WRONG_USE:
                shutil.rmtree(folder, ignore_errors=True)
                os.rename(aside, folder)
            raise


def _run_once(protocol, words, folder, look):
    os.makedirs(folder, exist_ok=True)
    errors = os.path.join(folder, "run.err")
    said_before = os.path.getsize(errors) if os.path.exists(errors) else 0
    line = form.quoted(words + ["--o", folder + "/"])
    ended = []

    def in_background():
        try:
            protocol.runJob(form.quoted([Plugin.getProgram()]), line, numberOfMpi=1)
            ended.append(None)
        except Exception as problem:  # handed on below, in the step's own thread
            ended.append(problem)

    thread = threading.Thread(target=in_background, daemon=True)
    thread.start()
    watch = Watch(folder, look)
    while thread.is_alive():
        thread.join(LOOK_S)
        watch.look()
    if ended[0] is not None:
        status = getattr(ended[0], "returncode", 1)
        raise ProgramFailed(status, last_error(errors, said_before) or str(ended[0])) from ended[0]


class Watch:
    """Calls back when a job's results have grown, and so seldom that it takes a small part of the time."""

    #: Looking and registering may take one part in this many of the time: sets of a million particles take minutes to write.
    SHARE = 10

    def __init__(self, folder, callback):
        self.path = os.path.join(folder, "results.json")
        self.folder = folder
        self.callback = callback
        # What an earlier run has left is not news, and may be about other settings.
        self.seen = self._state()
        self.next = 0.0

    def _state(self):
        try:
            stat = os.stat(self.path)
        except FileNotFoundError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size

    def look(self):
        state = self._state()
        if state is None or state == self.seen or time.monotonic() < self.next:
            return
        began = time.monotonic()
        self.seen = state
        try:
            self.callback(read_results(self.folder))
        except Exception:
            # The job must not be lost for this; what stays wrong fails the step that closes the outputs.
            logger.warning("The outputs could not be renewed.", exc_info=True)
        ended = time.monotonic()
        self.next = ended + self.SHARE * (ended - began)


def last_error(path, offset):
    """The last error of a run.err, from a byte on; None where there is none."""
    try:
        with open(path, errors="replace") as file:
            file.seek(offset if os.path.getsize(path) >= offset else 0)
            lines = [line.strip() for line in file if line.startswith("error:")]
    except FileNotFoundError:
        return None
    return lines[-1][len("error:"):].strip() if lines else None
