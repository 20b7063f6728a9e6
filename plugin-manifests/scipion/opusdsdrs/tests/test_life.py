"""Stop, Continue, and values that change."""

import os
import time

import psutil
from pyworkflow.object import Set

from . import IDS, OpusDsdRsTest

#: Seconds that a busy machine may need to come to an epoch.
PATIENCE_S = 120


def processes_of(folder):
    """Living processes that name a folder on their command line."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        if process.info["status"] != psutil.STATUS_ZOMBIE and any(folder in word for word in process.info["cmdline"] or []):
            found.append(process)
    return found


class TestLife(OpusDsdRsTest):

    def wait_for(self, what, holds):
        began = time.monotonic()
        while not holds():
            self.assertLess(time.monotonic() - began, PATIENCE_S, what)
            time.sleep(0.2)

    def update(self, protocol):
        self.proj._updateProtocol(protocol)
        return protocol

    def test_1_stop_continue_change(self):
        train = self.training(numEpochs=2000)
        self.proj.launchProtocol(train, wait=False)
        self.wait_for("outputs of an epoch", lambda: hasattr(self.update(train), "outputParticles"))
        # It grows while it runs: an open set with the latents of an epoch.
        self.assertTrue(train.isRunning())
        self.assertEqual(train.outputParticles.getStreamState(), Set.STREAM_OPEN)
        self.assertEqual([p.getObjId() for p in train.outputParticles], IDS)
        first = train.outputParticles.getFlexInfo().getAttr("_opusdsdWeights")
        self.wait_for("a later epoch", lambda: self.update(train).outputParticles.getFlexInfo().getAttr("_opusdsdWeights") != first)
        self.assertFalse(hasattr(train, "outputClasses"))

        self.proj.stopProtocol(train)
        self.wait_for("the end of all processes", lambda: not processes_of(train.getJobFolder()))
        self.assertTrue(train.isAborted())
        self.assertEqual(train.outputParticles.getStreamState(), Set.STREAM_CLOSED)
        done_before = train.getJobFolder() + "/checkpoint/latents/epoch-001.npy"
        written = os.stat(done_before).st_mtime_ns
        epochs = len(os.listdir(os.path.dirname(done_before)))

        # Continued in a project that was moved, with fewer epochs than were asked for, it goes on from the checkpoint.
        type(self).moveProject()
        train = self.proj.getProtocol(train.getObjId())
        train.numEpochs.set(epochs + 1)
        train = self.launchProtocol(train)
        self.assertEqual(os.stat(done_before).st_mtime_ns, written)
        self.assertParticles(train)
        self.assertEqual(sorted(p.getObjId() for c in train.outputClasses for p in c), IDS)

        # Another number of latents does not fit the job: a new one is begun, and all outputs are of it.
        train.zDim.set(5)
        train.numEpochs.set(2)
        train = self.launchProtocol(train)
        self.assertNotEqual(os.stat(done_before).st_mtime_ns, written)
        self.assertTrue(os.path.isdir(train.getJobFolder() + "-before"))
        self.assertParticles(train)
        self.assertEqual(train.outputParticles.getFlexInfo().getAttr("_opusdsdZDim"), 5)
        self.assertEqual({len(v._opusdsdZValues) for v in train.outputVolumes}, {5})

        # Another number of clusters is only another analysis.
        written = os.stat(done_before).st_mtime_ns
        train.ksamples.set(3)
        train = self.launchProtocol(train)
        self.assertEqual(os.stat(done_before).st_mtime_ns, written)
        self.assertEqual(len(train.outputClasses), 3)
        self.assertEqual(len(train.outputVolumes), 3)
        self.assertRelativePaths(train)

    def test_2_the_program_ends_with_the_runner(self):
        train = self.training(numEpochs=2000)
        self.proj.launchProtocol(train, wait=False)
        self.wait_for("an epoch", lambda: os.path.exists(train.getJobFolder() + "/checkpoint/latents/epoch-001.npy"))
        for runner in processes_of(train.getDbPath()):
            runner.kill()
        self.wait_for("the end of all processes", lambda: not processes_of(train.getJobFolder()))

    def test_3_what_the_program_says_is_what_the_run_says(self):
        train = self.training(beta="nonsense")
        self.proj.launchProtocol(train, wait=True)
        self.assertTrue(train.isFailed())
        self.assertIn("beta", train.getErrorMessage())
        self.assertIn("nonsense", train.getErrorMessage())
