"""Forms, command lines and validation; nothing is run but a program that is told to say no."""

import json
import os
import subprocess
import sys

import numpy as np
from pwem import Domain
from pwem.constants import ALIGN_NONE, ALIGN_PROJ
from pwem.objects import Acquisition, CTFModel, Particle, SetOfParticles, Transform, Volume, VolumeMask
from pyworkflow.protocol import params
from pyworkflow.template import LocalTemplate
from pyworkflow.tests import BaseTest, setupTestProject

from .. import Plugin, _compatible, form, inputs, manifest
from ..latents import clusters_at_a_glance

PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NAMES = {"train": "OpusDsdRsProtTrain", "analyse": "OpusDsdRsProtAnalyze", "decode": "OpusDsdRsProtGenerate"}

#: Imports everything, and lets nothing be started from this package.
WITHOUT_PROGRAM = """
import subprocess, traceback
start = subprocess.Popen.__init__
def guarded(*words, **about):
    assert not any("opusdsdrs" in frame.filename for frame in traceback.extract_stack()), words
    start(*words, **about)
subprocess.Popen.__init__ = guarded
from pwem import Domain
names = [n for n in Domain.getProtocols() if n.startswith("OpusDsdRs")]
assert len(names) == 3, names
assert Domain.getViewers().get("OpusDsdRsViewer") and Domain.getWizards().get("OpusDsdRsMaskRadiusWizard")
protocol = Domain.getProtocols()["OpusDsdRsProtTrain"]()
assert protocol.zDim.get() == 12
import opusdsdrs
print(opusdsdrs.Plugin.validateInstallation())
"""


class TestForm(BaseTest):

    @classmethod
    def setUpClass(cls):
        setupTestProject(cls)
        subprocess.run([Plugin.getProgram(), "simulate", "--o", "sim", "-n", "40", "--optics", "32:3.0"], check=True, stdout=subprocess.DEVNULL)

    def new(self, job, **values):
        return self.newProtocol(Domain.getProtocols()[NAMES[job]], **values)

    def particles(self, aligned=True, ctf=True, box=32):
        """Particles of the simulated images, each looked at from one side."""
        path = "particles.sqlite"
        if os.path.exists(path):
            os.remove(path)
        particles = SetOfParticles(filename=path)
        particles.setSamplingRate(3.0)
        particles.setAcquisition(Acquisition(voltage=300, sphericalAberration=2.7, amplitudeContrast=0.1, magnification=50000))
        for number in range(1, 41):
            particle = Particle(location=(number, "sim/particles.mrcs"))
            particle.setTransform(Transform())
            particle.setCTF(CTFModel(defocusU=10000.0, defocusV=10100.0, defocusAngle=10.0))
            particle.setAcquisition(particles.getAcquisition())
            particles.append(particle)
        particles._firstDim.set((box, box, 1))
        particles.setAlignment(ALIGN_PROJ if aligned else ALIGN_NONE)
        particles.setHasCTF(ctf)
        particles.write()
        return particles

    # ------------------------------------------------------------- installation
    def test_everything_imports_where_the_program_is_missing(self):
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", WITHOUT_PROGRAM], capture_output=True, text=True,
                              env=dict(os.environ, OPUSDSD_RS_BIN="/nowhere/opus-dsd"))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("OPUSDSD_RS_BIN: there is no program at /nowhere/opus-dsd", done.stdout)

    def test_the_program_is_held_against_the_manifest(self):
        self.assertEqual(Plugin.validateInstallation(), [])
        self.assertEqual(Plugin.getActiveVersion(), manifest.version())
        self.assertEqual(_compatible("0.1.5"), _compatible("0.1.0-dev"))
        self.assertNotEqual(_compatible("0.2.0"), _compatible("0.1.0"))
        self.assertEqual(_compatible("1.2.0"), _compatible("1.0.0"))

    def test_protocols_are_in_both_trees_and_the_paper_is_cited(self):
        with open(os.path.join(PACKAGE, "protocols.conf")) as file:
            views = [part.split("] =")[-1] for part in file.read().split("[PROTOCOLS]\n")[1].split("\nFlexibility Hub = ")]
        for view in (views[0].split(" = ", 1)[1], views[1]):
            text = json.dumps(json.loads(view))
            for name in NAMES.values():
                self.assertIn('"value": "%s"' % name, text)
        self.assertIn("Luo", str(self.new("train").citations()))

    def test_the_template_gives_a_workflow(self):
        template = LocalTemplate("opusdsdrs", os.path.join(PACKAGE, "templates", "opusdsd-train-analyse.json.template"))
        template.replaceEnvVariables()
        template.parseContent()
        for alias, value in {"zdim": "5", "epochs": "3", "apix": "3.0"}.items():
            template.setParamValue(alias, value)
        made = self.proj.loadProtocols(template.createTemplateFile())
        train, analyse = (next(p for p in made.values() if p.getClassName() == NAMES[job]) for job in ("train", "analyse"))
        self.assertEqual((train.zDim.get(), train.numEpochs.get(), train.useMask.get(), analyse.numPCs.get()), (5, 3, True, 1))
        self.assertEqual(analyse.inputParticles.getUniqueId(), "%d.outputParticles" % train.getObjId())

    # ------------------------------------------------------------- forms
    def test_names_and_defaults_of_the_older_plugin(self):
        train = self.new("train")
        for name, value in {"useMask": False, "abInitio": True, "zDim": 12, "numEpochs": 20}.items():
            self.assertEqual(getattr(train, name).get(), value, name)
        for name in ("inputParticles", "inputMask", "inputVolume", "opusDSDTrainingProtocol", "batchSize", "learningRate", "betaControl", "lamb",
                     "bfactor", "valFrac", "downFrac", "templateres", "preset"):
            self.assertTrue(train.hasAttribute(name), name)
        self.assertIsInstance(train.getParam("preset"), params.StringParam)
        analyse = self.new("analyse")
        for name in ("inputParticles", "numPCs", "psamples", "ksamples"):
            self.assertTrue(analyse.hasAttribute(name), name)

    def test_every_shown_option_of_the_manifest_is_in_its_form(self):
        for job in NAMES:
            protocol = self.new(job)
            for _, shown in manifest.sections(job):
                for param in shown:
                    if param["type"] not in ("gpu", "threads"):
                        self.assertTrue(protocol.getDefinition().hasParam(manifest.scipion_name(param)), param["id"])
                        protocol.evalParamCondition(manifest.scipion_name(param))
            self.assertTrue(protocol.hasAttribute("gpuList") and protocol.hasAttribute("numberOfThreads"))

    def test_switches_and_conditions_decide_what_is_said(self):
        train = self.new("train", useGpu=False, numberOfThreads=3)
        self.assertFalse(train.evalParamCondition("inputMask") or train.evalParamCondition("opusDSDTrainingProtocol"))
        self.assertTrue(train.evalParamCondition("maskRadius"))
        said = train.settings("extra")
        self.assertEqual((said["zdim"], said["epochs"], said["base"], said["j"], said["device"]), (12, 20, "auto", 3, "cpu"))
        self.assertFalse({"preset", "lr", "in_mask", "load", "gpu", "apix", "o"} & set(said))
        train.preset.set("tiny")
        train.learningRate.set(0.00025)
        train.maskRadius.set(30.0)
        said = train.settings("extra")
        self.assertEqual((said["preset"], said["lr"]), ("tiny", 0.00025))
        self.assertTrue(said["in_mask"].endswith("input_mask.mrc"))
        generate = self.new("decode", useGpu=True, gpuList="2,0")
        self.assertEqual(generate._machine()["gpu"], "2,0")

    def test_settings_as_a_command_line(self):
        self.assertEqual(form.command_line({"lr": 0.00025, "plot": True, "zdim": 8, "epoch": "best"}),
                         ["--lr", "0.00025", "--plot", "yes", "--zdim", "8", "--epoch", "best"])

    def test_words_with_blanks_and_dollars_reach_the_program(self):
        words = ["a b", "$HOME", "`x`", "100%", "it's"]
        done = subprocess.run("printf '%s\\n' " + form.quoted(words), shell=True, capture_output=True, text=True)
        self.assertEqual(done.stdout.splitlines(), words)

    def test_every_value_is_in_the_steps_argument(self):
        train = self.new("train")
        before = json.loads(train.canonicalValues())
        for name, value in {"zDim": 5, "learningRate": 0.1, "maskRadius": 20.0, "seed": 3, "gpuList": "1", "numberOfThreads": 7}.items():
            getattr(train, name).set(value)
        after = json.loads(train.canonicalValues())
        self.assertEqual({k for k in after if after[k] != before.get(k)},
                         {"zdim", "lr", "maskRadius", "seed", "gpuList", "numberOfThreads"})

    # ------------------------------------------------------------- validation
    def errors(self, protocol):
        return "\n".join(protocol.validate())

    def test_wrong_numbers_and_words_are_refused(self):
        train = self.new("train", useGpu=False)
        train.inputParticles.set(self.particles())
        self.assertEqual(self.errors(train), "")
        for name, value, words in (("zDim", 0, "from 1 up to 128"), ("zDim", 129, "from 1 up to 128"), ("learningRate", 0.0, "above 0"),
                                   ("preset", "huge", "tiny, small, full"), ("beta", "-1", "from 0"), ("maskRadius", 60.0, "half of the box")):
            was = getattr(train, name).get()
            getattr(train, name).set(value)
            self.assertIn(words, self.errors(train), name)
            getattr(train, name).set(was)
        self.assertEqual(self.errors(train), "")

    def test_what_the_program_refuses_is_said_before_the_launch(self):
        train = self.new("train", useGpu=False)
        train.inputParticles.set(self.particles())
        train.beta.set("nonsense")
        self.assertIn("`--beta`", self.errors(train))
        train.beta.set("cos")
        self.assertEqual(self.errors(train), "")
        train.templateres.set(50)
        self.assertIn("`--templateres`", self.errors(train))
        train.templateres.set(None)
        os.rename("sim/particles.mrcs", "sim/gone.mrcs")
        try:
            self.assertIn("sim/particles.mrcs", self.errors(train))
        finally:
            os.rename("sim/gone.mrcs", "sim/particles.mrcs")

    def test_wrong_particles_are_refused(self):
        train = self.new("train", useGpu=False)
        self.assertIn("cannot be EMPTY", self.errors(train))
        for about, words in (({"aligned": False}, "no projection alignment"), ({"ctf": False}, "no CTF"), ({"box": 33}, "odd")):
            train.inputParticles.set(self.particles(**about))
            self.assertIn(words, self.errors(train))
        train.useMask.set(True)
        self.assertIn("*Solvent mask* cannot be EMPTY", self.errors(train))

    def test_a_mask_of_another_extent_is_warned_of(self):
        train = self.new("train", useMask=True)
        train.inputParticles.set(self.particles())
        inputs.write_ball("ball.mrc", 48, 3.0, 30.0)
        mask = VolumeMask(location="ball.mrc")
        mask.setSamplingRate(3.0)
        train.inputMask.set(mask)
        self.assertIn("spans 144.0 Å", train._warnings()[0])

    def test_gpus_are_numbers(self):
        train = self.new("train", gpuList="first")
        train.inputParticles.set(self.particles())
        self.assertIn("number of a GPU", self.errors(train))

    def test_particles_of_elsewhere_are_not_analysed(self):
        analyse = self.new("analyse", useGpu=False)
        self.assertIn("Give the particles of a trained job, or its run", self.errors(analyse))
        analyse.inputParticles.set(self.particles())
        self.assertIn("not made by the training of this plugin", self.errors(analyse))
        generate = self.new("decode", useGpu=False, pc=1, zfile="z.txt")
        self.assertIn("Give one of", self.errors(generate))

    # ------------------------------------------------------------- files
    def test_maps_are_written_with_the_pixel_size_of_the_project(self):
        inputs.write_ball("made.mrc", 16, 2.0, 10.0)
        volume = Volume(location="made.mrc")
        volume.setSamplingRate(1.5)
        inputs.write_map(volume, "written.mrc")
        with open("made.mrc", "rb") as made, open("written.mrc", "rb") as written:
            made, written = made.read(), written.read()
        self.assertEqual(made[1024:], written[1024:])
        np.testing.assert_allclose(np.frombuffer(written, "<f4", 3, inputs.MRC_CELL), 24.0)
        ball = np.frombuffer(made, "<f4", offset=1024).reshape(16, 16, 16)
        self.assertEqual((ball[8, 8, 8], ball[8, 8, 12], ball[0, 0, 0]), (1.0, 1.0, 0.0))
        self.assertTrue(0 < ball[8, 8, 15] < 1)

    def test_well_separated_clusters_are_seen(self):
        z = np.repeat([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], 50, axis=0) + np.random.default_rng(1).normal(0, 0.1, (150, 2))
        between = {k: share for k, share, _ in clusters_at_a_glance(z, (2, 3, 200))}
        self.assertEqual(set(between), {2, 3})
        self.assertLess(between[2], 0.9)
        self.assertGreater(between[3], 0.99)

