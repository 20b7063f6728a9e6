"""Running `opus-dsd` from a step, and looking at what it has so far."""

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time

from . import Plugin, form
from .client import Client, JobFailed
from .constants import STATUS_WRONG_USE

logger = logging.getLogger(__name__)
#: Seconds between two looks at a job that runs in a queue.
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


def run(protocol, verb, settings, folder, look):
    """Runs a job in a folder; `look` is called with the results each time they have grown.

    A job that is in the folder goes on. Where it was begun with settings that no longer fit, the program refuses; then the job is
    set aside and a new one is begun, and where that is refused as well, the earlier one is put back.
    """
    run_once = _in_the_queue if protocol.useQueueForSteps() else _here
    begun = os.path.exists(os.path.join(folder, "settings.json"))
    try:
        run_once(protocol, verb, settings, folder, Watch(folder, look))
    except ProgramFailed as refused:
        if refused.status != STATUS_WRONG_USE or not begun:
            raise
        protocol.info("The settings do not fit the job that was begun (%s), so a new one is begun." % refused)
        aside = folder + SET_ASIDE
        shutil.rmtree(aside, ignore_errors=True)
        os.rename(folder, aside)
        try:
            run_once(protocol, verb, settings, folder, Watch(folder, look))
        except ProgramFailed as failed:
            if failed.status == STATUS_WRONG_USE:
                shutil.rmtree(folder, ignore_errors=True)
                os.rename(aside, folder)
            raise


def refusal(verb, settings, folder):
    """What the program would refuse a new job in a folder for, in its own words; None where it would begin. Nothing is written."""
    words = [Plugin.getProgram(), verb, "--o", folder, "--dry-run", "yes"] + form.command_line(settings)
    done = subprocess.run(words, env=Plugin.getEnviron(), capture_output=True, text=True)
    if done.returncode != STATUS_WRONG_USE:
        # What else goes wrong may go right where the job will run.
        return None
    errors = [line[len("error: "):] for line in done.stderr.splitlines() if line.startswith("error: ")]
    return errors[-1] if errors else done.stderr.strip()


def _here(protocol, verb, settings, folder, watch):
    """As a client of `opus-dsd serve`, whose end of input stops the job when this process dies of anything."""
    protocol.info("opus-dsd " + form.quoted([verb, "--o", folder] + form.command_line(settings)))

    def log(line):
        print(line["line"], file=sys.stderr if line["stream"] == "err" else sys.stdout, flush=True)

    try:
        with Client(Plugin.getProgram(), env=Plugin.getEnviron()) as client:
            client.run_job(verb, settings, folder, on_output=lambda _: watch.look(), on_progress=lambda _: watch.look(), on_log=log)
    except JobFailed as failed:
        raise ProgramFailed(failed.exit_status, str(failed)) from failed


def _in_the_queue(protocol, verb, settings, folder, watch):
    """As a command line, which Scipion hands to the queue that the run's steps go through."""
    os.makedirs(folder, exist_ok=True)
    events = os.path.join(folder, "events.jsonl")
    seen = os.path.getsize(events) if os.path.exists(events) else 0
    line = form.quoted([verb, "--o", folder + "/"] + form.command_line(settings))
    problems = []

    def in_background():
        try:
            protocol.runJob(form.quoted([Plugin.getProgram()]), line, numberOfMpi=1)
        except Exception as problem:  # handed on below, in the step's own thread
            problems.append(problem)

    thread = threading.Thread(target=in_background, daemon=True)
    # By this the queue's executor tells the jobs of one step from those of another.
    thread.thId = getattr(threading.current_thread(), "thId", 0)
    thread.start()
    while thread.is_alive():
        thread.join(LOOK_S)
        watch.look()
    # A queue does not tell how a job ended; the job's own events do.
    problem = None
    ended = False
    for event in _events(events, seen):
        problem = event.get("problem", problem)
        ended = ended or event["event"] == "end"
    if problem:
        words = "%s: %s" % (problem["culprit"], problem["what"]) if problem.get("culprit") else problem["what"]
        status = STATUS_WRONG_USE if problem["kind"] == "input" else 1
        raise ProgramFailed(status, words + ("; hint: %s" % problem["hint"] if problem.get("hint") else ""))
    if problems:
        raise ProgramFailed(1, str(problems[0])) from problems[0]
    if not ended:
        raise ProgramFailed(1, "the job did not come to its end; look at what the queue has written in %s" % protocol._getLogsPath())


def _events(path, offset):
    """A job's events from a byte on; a last line that is not whole is left out."""
    try:
        with open(path) as file:
            file.seek(offset)
            return [json.loads(line) for line in file if line.endswith("\n")]
    except FileNotFoundError:
        return []


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
