"""A scratch project with a small simulated set, driven through the Pipeliner's command line and its API."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from typing import Dict, List

from gemmi import cif
from pipeliner.api.manage_project import PipelinerProject
from pipeliner.data_structure import ABORT_FILE, FAIL_FILE, SUCCESS_FILE
from pipeliner.job_factory import new_job_of_type
from pipeliner.project_graph import ProjectGraph

PARTICLES = 96
#: Parameters of a job of seconds.
SHORT = {"preset": "tiny", "device": "cpu", "clusters": 2, "nr_threads": 1}
#: A stuck job fails the test after this many seconds.
PATIENCE_SECONDS = 240.0


def skip_or_fail(missing: str) -> None:
    """What is not installed skips a test loudly, and fails it under CI."""
    if os.environ.get("CI"):
        raise AssertionError(f"{missing} is not installed, and CI must not skip its tests")
    print(f"SKIPPED: {missing} is not installed", file=sys.stderr, flush=True)
    raise unittest.SkipTest(f"{missing} is not installed")


class Project:
    """A project folder, which becomes the working directory, as the Pipeliner wants it."""

    def __init__(self) -> None:
        if shutil.which("opus-dsd") is None:
            raise AssertionError("opus-dsd is not on PATH")
        self.before = os.getcwd()
        self.folder = tempfile.TemporaryDirectory(prefix="opusdsd-pipeliner-")
        os.mkdir(f"{self.folder.name}/project")
        os.chdir(f"{self.folder.name}/project")
        simulate = ["opus-dsd", "simulate", "--o", "sim", "-n", str(PARTICLES), "--optics", "32:3.0", "--seed", "7"]
        subprocess.run(simulate, check=True, stdout=subprocess.DEVNULL)
        number_particles("sim/particles.star", "particles.star")
        self.pipeliner("--new_project")

    def close(self) -> None:
        os.chdir(self.before)
        self.folder.cleanup()

    def move(self) -> None:
        """Gives the project's folder another name."""
        os.rename(f"{self.folder.name}/project", f"{self.folder.name}/moved")
        os.chdir(f"{self.folder.name}/moved")

    def pipeliner(self, *words: str) -> str:
        """The command line that people use; it must succeed."""
        program = Path(sys.executable).with_name("pipeliner")
        done = subprocess.run([str(program), *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise AssertionError(f"pipeliner {words}: {done.stdout}")
        return done.stdout

    def job_file(self, kind: str, name: str, **values) -> str:
        """Writes a job.star of a type with some options set."""
        job = new_job_of_type(kind)
        for option, value in values.items():
            job.joboptions[option].value = value
        job.write_jobstar("./", name)
        return name

    def run(self, kind: str, **values) -> str:
        """Runs a job to its end within this process; its folder."""
        parameters: Dict[str, object] = {"_rlnJobTypeLabel": kind, **values}
        return PipelinerProject().run_job(parameters, run_in_foreground=True).output_dir

    def wait_for(self, job: str) -> str:
        """Waits for the runner's exit file; the job's status in the pipeline, which is then brought up to date."""
        wait("an exit file", lambda: any(Path(job, name).exists() for name in (SUCCESS_FILE, FAIL_FILE, ABORT_FILE)))
        return self.status(job)

    def status(self, job: str) -> str:
        with ProjectGraph(read_only=False) as pipeline:
            pipeline.check_process_completion()
            return pipeline.find_process(job).status

    def nodes(self, job: str) -> Dict[str, str]:
        """Output nodes of a job: file name below the job folder, type."""
        with ProjectGraph(read_only=False) as pipeline:
            return {node.name[len(job) :]: node.type for node in pipeline.find_process(job).output_nodes}

    def parents(self, job: str) -> List[str]:
        """Jobs whose outputs a job uses."""
        with ProjectGraph(read_only=False) as pipeline:
            made = [node.output_from_process for node in pipeline.find_process(job).input_nodes]
            return sorted({process.name for process in made if process is not None})


def wait(what: str, holds) -> None:
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > PATIENCE_SECONDS:
            raise AssertionError(f"{what}: not within {PATIENCE_SECONDS} s")
        time.sleep(0.1)


def text(path: str) -> str:
    return Path(path).read_text() if Path(path).exists() else ""


def number_particles(source: str, target: str) -> None:
    """Gives every particle an id, as other hosts do, and image names from the project's folder on."""
    document = cif.read_file(source)
    loop = document.find_block("particles").find_loop("_rlnImageName").get_loop()
    loop.add_columns(["_rlnImageId"], "0")
    names, ids = loop.tags.index("_rlnImageName"), loop.tags.index("_rlnImageId")
    for row in range(loop.length()):
        loop[row, names] = loop[row, names].replace("@", "@sim/")
        # Neither from one on nor in order, so that only a true join finds them.
        loop[row, ids] = str(1000 + (row * 37) % PARTICLES)
    document.write_file(target)


def rows(star: str) -> List[Dict[str, str]]:
    """Particles of a STAR file, in order."""
    loop = cif.read_file(star).find_block("particles").find_loop("_rlnImageName").get_loop()
    return [{tag: loop[row, i] for i, tag in enumerate(loop.tags)} for row in range(loop.length())]


def epochs(job: str) -> List[int]:
    """Epochs that a job has said to be done, in order."""
    return [int(n) for n in re.findall(r"^epoch (\d+)/", text(f"{job}run.out"), re.MULTILINE)]
