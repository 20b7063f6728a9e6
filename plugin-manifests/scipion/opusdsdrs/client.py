"""A client of ``opus-dsd serve``: jobs started, followed and stopped over stdin and stdout.

Standard library only, Python 3.8 or later. The protocol is described in docs/reference/protocol.md.

    with Client("/opt/opus-dsd/bin/opus-dsd") as client:
        done = client.run_job("train", {"in_parts": "particles.star", "zdim": 8}, "Runs/000123", on_progress=print)
        print(done["results"]["volumes"])
"""

import collections
import json
import os
import subprocess
import threading
import time

PROTOCOL = 1
"""Version of the protocol that this client speaks."""

LEAVE_SECONDS = 20.0
"""Time that the server has to stop its job (about 5 s) and leave, before it is ended."""

LOUD_TAIL = 20
"""Lines of the server's stderr that are kept to say why it died."""


class ServerError(Exception):
    """The server refused a request.

    ``code`` is the JSON-RPC error code; ``culprit``, ``hint``, ``kind`` and ``exit_status`` are None where the server named none.
    """

    def __init__(self, message, code=None, culprit=None, hint=None, kind=None, exit_status=None):
        self.message, self.code, self.culprit, self.hint = message, code, culprit, hint
        self.kind, self.exit_status = kind, exit_status
        text = message if not culprit else "%s: %s" % (culprit, message)
        super().__init__(text if not hint else "%s; hint: %s" % (text, hint))


class JobFailed(ServerError):
    """The job did not end well, or could not be started.

    ``done`` is the params of job/done, or None where the job did not start. ``state`` is "failed" or "stopped".
    """

    def __init__(self, message, code=None, culprit=None, hint=None, kind=None, exit_status=None, state="failed", done=None):
        super().__init__(message, code, culprit, hint, kind, exit_status)
        self.state, self.done = state, done


class ServerGone(JobFailed):
    """The server ended without an answer. Its job has ended too; the same job can be started again and goes on."""


class Client:
    """A conversation with one server. Use it as a context manager, or call ``start()`` and ``close()``.

    ``program`` is the executable, or a whole command as a list. ``stderr`` is where the server's words for people go: None keeps the last
    lines for error messages, anything else is handed to ``subprocess.Popen``. Methods may be called from any thread, callbacks included;
    one thread at a time may be in ``run_job``.
    """

    def __init__(self, program="opus-dsd", cwd=None, env=None, stderr=None):
        self.command = ([program] if isinstance(program, (str, os.PathLike)) else list(program)) + ["serve"]
        self.cwd, self.env, self.stderr = cwd, env, stderr
        self._process = None
        self._lock = threading.Condition()
        self._writing = threading.Lock()
        self._last_id = 0
        self._answers = {}
        self._events = collections.deque()
        self._gone = False
        self._words = collections.deque(maxlen=LOUD_TAIL)
        self._threads = []

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def pid(self):
        """Process id of the server, or None."""
        return self._process.pid if self._process else None

    def start(self):
        """Starts the server. Raises ServerGone where the program cannot be run."""
        if self._process is not None:
            return
        try:
            self._process = subprocess.Popen(
                [os.fspath(word) for word in self.command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if self.stderr is None else self.stderr,
                cwd=self.cwd,
                env=self.env,
            )
        except OSError as error:
            raise ServerGone(str(error), culprit=self.command[0], hint="name the executable of opus-dsd") from error
        self._gone = False
        readers = [(self._read, self._process.stdout)] + ([(self._listen, self._process.stderr)] if self.stderr is None else [])
        self._threads = [threading.Thread(target=reader, args=(pipe,), daemon=True) for reader, pipe in readers]
        for thread in self._threads:
            thread.start()

    def initialize(self, devices=True, timeout=None):
        """Name, version, protocol, manifest and, where ``devices`` is true, what a job can run on (which takes seconds)."""
        return self.call("initialize", {"protocol": PROTOCOL, "devices": devices, "client": "opusdsdrs"}, timeout)

    def start_job(self, verb, settings, folder):
        """Starts a job and returns its status. Raises JobFailed where it cannot be started."""
        params = {"verb": verb, "settings": dict(settings), "folder": os.fspath(folder)}
        try:
            return self.call("job/start", params)
        except ServerGone:
            raise
        except ServerError as error:
            raise JobFailed(error.message, error.code, error.culprit, error.hint, error.kind, error.exit_status) from error

    def run_job(self, verb, settings, folder, on_progress=None, on_output=None, on_log=None, on_metric=None):
        """Runs a job to its end and returns the params of job/done (``results`` is the content of results.json).

        Callbacks get the params of job/progress, job/output, job/log and job/metric, in this thread. Raises JobFailed where the job fails or
        is stopped (``cancel()`` from a callback or another thread), ServerGone where the server dies. A callback's own exception stops the
        job in order and is passed on.
        """
        started = self.start_job(verb, settings, folder)
        try:
            done = self._follow(started["job"], on_progress, on_output, on_log, on_metric)
        except BaseException:
            self._stop_quietly(started["job"])
            raise
        if done["state"] == "done":
            return done
        problem = done.get("problem") or {}
        raise JobFailed(
            problem.get("what") or "the job ended with status %s" % done["exit_status"],
            culprit=problem.get("culprit"),
            hint=problem.get("hint"),
            kind=problem.get("kind"),
            exit_status=done["exit_status"],
            state=done["state"],
            done=done,
        )

    def status(self, job=None):
        """What a job does; the latest where none is named."""
        return self.call("job/status", {} if job is None else {"job": job})

    def cancel(self, job=None):
        """Asks the job to stop in order; it leaves a checkpoint first. Returns at once, with its status."""
        return self.call("job/cancel", {} if job is None else {"job": job})

    def call(self, method, params=None, timeout=None):
        """One request and its result. Raises ServerError, ServerGone, or TimeoutError after ``timeout`` seconds."""
        with self._lock:
            if self._process is None or self._gone:
                raise self._why_gone()
            self._last_id += 1
            number = self._last_id
            self._answers[number] = None
        line = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params or {}}) + "\n"
        try:
            with self._writing:
                self._process.stdin.write(line.encode("utf-8"))
                self._process.stdin.flush()
        except (OSError, ValueError):
            pass  # The reader notices the end, and knows answers that came before it.
        try:
            return self._await(number, timeout)
        finally:
            with self._lock:
                self._answers.pop(number, None)

    def close(self, timeout=LEAVE_SECONDS):
        """Ends the input, which asks the server to stop its job in order and leave; ends it by force after ``timeout`` seconds."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            process.stdin.close()
        except OSError:
            pass
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for thread in self._threads:
            thread.join(1.0)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()

    def _follow(self, job, on_progress, on_output, on_log, on_metric):
        callbacks = {"job/progress": on_progress, "job/output": on_output, "job/log": on_log, "job/metric": on_metric}
        while True:
            with self._lock:
                while not self._events and not self._gone:
                    self._lock.wait()
                if not self._events:
                    raise self._why_gone()
                method, params = self._events.popleft()
            if params.get("job") != job:
                continue
            if method == "job/done":
                return params
            callback = callbacks.get(method)
            if callback is not None:
                callback(params)

    def _stop_quietly(self, job):
        try:
            self.cancel(job)
            self._follow(job, None, None, None, None)
        except ServerError:
            pass  # It has ended already, or does so with the server.

    def _await(self, number, timeout):
        until = None if timeout is None else time.monotonic() + timeout
        with self._lock:
            while self._answers[number] is None:
                if self._gone:
                    raise self._why_gone()
                left = None if until is None else until - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeoutError("no answer within %s s" % timeout)
                self._lock.wait(left)
            answer = self._answers[number]
        if "error" in answer:
            error = answer["error"]
            data = error.get("data") or {}
            raise ServerError(
                error.get("message", ""), error.get("code"), data.get("culprit"), data.get("hint"), data.get("kind"), data.get("exit_status")
            )
        return answer.get("result")

    def _read(self, pipe):
        for line in _lines(pipe):
            try:
                message = json.loads(line.decode("utf-8"))
            except ValueError:
                continue  # The last line of a server that was killed while it wrote.
            with self._lock:
                if "method" in message:
                    self._events.append((message["method"], message.get("params") or {}))
                elif message.get("id") in self._answers:
                    self._answers[message["id"]] = message
                self._lock.notify_all()
        with self._lock:
            self._gone = True
            self._lock.notify_all()

    def _listen(self, pipe):
        for line in _lines(pipe):
            self._words.append(line.decode("utf-8", "replace").rstrip())

    def _why_gone(self):
        words = [word for word in self._words if word.startswith("error: ")] or list(self._words)
        said = "; it said: %s" % words[-1] if words else ""
        return ServerGone(
            "the server ended without an answer%s" % said,
            culprit="opus-dsd serve",
            hint="start the same job again; it goes on from the last checkpoint",
        )


def _lines(pipe):
    """Lines until the pipe ends or is closed."""
    while True:
        try:
            line = pipe.readline()
        except (OSError, ValueError):
            return
        if not line:
            return
        yield line
