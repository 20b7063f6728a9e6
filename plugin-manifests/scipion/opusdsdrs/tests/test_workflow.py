"""From imported particles to clusters and volumes, and on to other protocols."""

import os

import mrcfile
import numpy as np
from pyworkflow.object import Set

from ..client import JobFailed
from ..utils import generateVolumes
from ..viewers import OpusDsdRsViewer
from ..wizards import OpusDsdRsClustersWizard, OpusDsdRsMaskRadiusWizard
from . import APIX, BOX, IDS, OpusDsdRsTest


class TestWorkflow(OpusDsdRsTest):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.train = cls.launchProtocol(cls.training())

    def test_1_training_has_all_outputs(self):
        self.assertParticles(self.train)
        self.assertRelativePaths(self.train)
        self.assertEqual(self.train.outputParticles.getFlexInfo().getAttr("_opusdsdZDim"), 3)
        self.assertEqual(self.train.outputParticles.getFlexInfo().getAttr("_opusdsdDownFrac"), 1.0)
        volumes = [v.clone() for v in self.train.outputVolumes]
        self.assertEqual([v.getSamplingRate() for v in volumes], [APIX, APIX])
        self.assertEqual([len(v._opusdsdZValues) for v in volumes], [3, 3])
        class_of = {p.getObjId(): p.getClassId() for p in self.train.outputParticles}
        members = {c.getObjId(): [p.getObjId() for p in c] for c in self.train.outputClasses}
        self.assertEqual(sorted(sum(members.values(), [])), IDS)
        for number, ids in members.items():
            self.assertEqual({class_of[i] for i in ids}, {number})
        for _, output in self.train.iterOutputAttributes():
            self.assertEqual(output.getStreamState(), Set.STREAM_CLOSED)

    def test_2_analysis_of_a_part_of_the_particles(self):
        ids = IDS[10:40]
        part = self.run_of("ProtSubSet", inputFullSet=(self.train, "outputParticles"), selectIds=True, range=",".join(map(str, ids)))
        particles = next(o for _, o in part.iterOutputAttributes())
        name = next(n for n, _ in part.iterOutputAttributes())
        self.assertEqual(particles.getFlexInfo().getAttr("_opusdsdJob"), self.train.getJobFolder())
        done = self.run_of("OpusDsdRsProtAnalyze", inputParticles=(part, name), ksamples=3, numPCs=1, psamples=4, useGpu=False, numberOfThreads=1)
        self.assertParticles(done, ids, folder=self.train.getJobFolder())
        self.assertRelativePaths(done)
        self.assertEqual(len(done.outputVolumes), 3)
        self.assertEqual(len(done.outputVolumesPc1), 4)
        self.assertEqual(sorted(p.getObjId() for c in done.outputClasses for p in c), ids)

    def test_3_volumes_of_particles(self):
        wanted = [IDS[3], IDS[20]]
        made = self.run_of("OpusDsdRsProtGenerate", inputParticles=(self.train, "outputParticles"), particles=",".join(map(str, wanted)),
                           useGpu=False, numberOfThreads=1)
        z = {p.getObjId(): p.getZFlex() for p in self.train.outputParticles}
        found = [np.array(v._opusdsdZValues, dtype=float) for v in made.outputVolumes]
        np.testing.assert_allclose(found, [z[i] for i in wanted], rtol=1e-5)

    def test_4_another_protocol_takes_the_classes(self):
        # Iterating over a set hands out one object again and again.
        largest = max(c.getSize() for c in self.train.outputClasses)
        taken = self.run_of("ProtClassesSelector", inputClasses=(self.train, "outputClasses"), firstNElements=1)
        self.assertEqual(taken.output.getSize(), largest)
        self.assertLessEqual({p.getObjId() for p in taken.output}, set(IDS))

    def test_5_windows_show_what_the_job_has(self):
        viewer = OpusDsdRsViewer(project=self.proj)
        viewer.setProtocol(self.train)
        self.assertEqual(viewer.volume_sets(), ["outputVolumes"])
        for name in ("displayVol", "showPreview", "showParticles", "showLatents", "showClasses", "showReport"):
            self.assertTrue(viewer.hasAttribute(name), name)
            self.assertIn(name, viewer._getVisualizeDict())
        with open(viewer.chimerax_script([(v.getFileName(), v.getSamplingRate()) for v in self.train.outputVolumes])) as script:
            lines = script.read().splitlines()
        self.assertEqual(lines[0], 'open "%s"' % os.path.abspath(self.train.getJobFolder() + "/cluster001.mrc"))
        self.assertEqual(lines[1], "volume #1 style surface voxelSize 3")
        self.assertEqual(lines[-2:], ["tile", "view"])
        plot = viewer.latent_plot()
        plot.savefig("latents.png")
        self.assertGreater(os.path.getsize("latents.png"), 1000)
        self.assertTrue(os.path.exists(viewer.report_path()))

    def test_6_the_wizards_start_from_the_data(self):
        self.assertAlmostEqual(OpusDsdRsMaskRadiusWizard().start_radius(self.train), 0.4 * BOX * APIX)
        choices = OpusDsdRsClustersWizard().choices(self.train)
        self.assertEqual([k for k, _ in choices][:3], [2, 3, 4])
        self.assertEqual(OpusDsdRsClustersWizard().choices(self.training()), [])

    def test_7_other_plugins_generate_volumes(self):
        info = self.train.outputParticles.getFlexInfo()
        z = self.train.outputParticles.getFirstItem().getZFlex()
        paths = generateVolumes([z, z + 0.1], info.getAttr("_opusdsdWeights"), info.getAttr("_opusdsdConfig"), "generated", Apix=6.0, boxSize=16)
        self.assertEqual(len(paths), 2)
        with mrcfile.open(paths[1]) as volume:
            self.assertEqual((volume.data.shape, round(float(volume.voxel_size.x), 3)), ((16, 16, 16), 6.0))
        with self.assertRaisesRegex(JobFailed, "latent"):
            generateVolumes([z[:1]], info.getAttr("_opusdsdWeights"), info.getAttr("_opusdsdConfig"), "refused")

    def test_8_the_moved_project_still_works(self):
        type(self).moveProject()
        train = self.proj.getProtocol(self.train.getObjId())
        self.assertRelativePaths(train)
        made = self.run_of("OpusDsdRsProtGenerate", inputParticles=(train, "outputParticles"), pc=1, points=2, useGpu=False, numberOfThreads=1)
        self.assertEqual(len(made.outputVolumes), 2)
        again = self.launchProtocol(made)
        self.assertIn("nothing to be done", "".join(again.getLogsLastLines(50)))
