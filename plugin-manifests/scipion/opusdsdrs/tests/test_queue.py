"""Steps that go through a queue: the program must run where the queue puts it, and not beside Scipion."""

import glob
import os

from pyworkflow.object import Set

from . import IDS, OpusDsdRsTest

#: A queue of this machine: a job is a shell in the background, and one whose process is gone has ended.
HOSTS = """[localhost]
PARALLEL_COMMAND = mpirun -np %_(JOB_NODES)d %_(COMMAND)s
NAME = LOCAL
MANDATORY = 0
SUBMIT_COMMAND = bash -c 'bash %_(JOB_SCRIPT)s > %_(JOB_LOGS)s.out 2> %_(JOB_LOGS)s.err < /dev/null & echo $!'
CHECK_COMMAND = ps --no-headers -o pid -p %_(JOB_ID)s
CANCEL_COMMAND = kill %_(JOB_ID)s
SUBMIT_TEMPLATE = #!/bin/bash
    export SEEN_IN_THE_QUEUE=yes
    exec %_(JOB_COMMAND)s
QUEUES = {"default": []}
"""


class TestQueue(OpusDsdRsTest):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        os.makedirs(".config", exist_ok=True)
        with open(".config/hosts.conf", "w") as file:
            file.write(HOSTS)
        cls.proj._loadHosts(os.path.abspath(".config/hosts.conf"))

    def test_every_step_of_the_program_is_a_job_of_the_queue(self):
        train = self.training(numEpochs=1)
        train._useQueue.set(True)
        train.setQueueParams(("default", {"QUEUE_FOR_JOBS": "Y"}))
        self.proj.launchProtocol(train, wait=True)
        self.assertTrue(train.isFinished(), train.getErrorMessage())
        scripts = glob.glob(train._getLogsPath("*.job"))
        self.assertEqual(len(scripts), 1, scripts)
        with open(scripts[0]) as script:
            self.assertIn("opus-dsd train --o %s/" % train.getJobFolder(), script.read())
        self.assertParticles(train)
        self.assertRelativePaths(train)
        self.assertEqual(sorted(p.getObjId() for c in train.outputClasses for p in c), IDS)
        self.assertEqual(train.outputVolumes.getStreamState(), Set.STREAM_CLOSED)
