"""A project from its first job on: every step is run by the real Pipeliner, and uses what the steps before it left."""

import json
import os
import shutil
import unittest
from pathlib import Path

from pipeliner.api.manage_project import PipelinerProject
from pipeliner.starfile_handler import JobStar

import support
from support import PARTICLES, SHORT, Project, epochs, rows, text

TRAINED = "OpusDSD/job001/"
CONTINUE = f"{TRAINED}continue_job.star"


class Story(unittest.TestCase):
    """Steps run in the order of their names."""

    @classmethod
    def setUpClass(cls):
        cls.project = Project()
        cls.addClassCleanup(cls.project.close)

    def test_1_train_from_the_command_line(self):
        values = {**SHORT, "epochs": 2, "in_parts": "particles.star", "in_mask": "sim/mask.mrc"}
        printed = self.project.pipeliner("--run_job", self.project.job_file("opusdsd.train", "train_job.star", **values))
        self.assertIn(TRAINED, printed)
        self.assertEqual(self.project.wait_for(TRAINED), "Succeeded", text(f"{TRAINED}run.err"))
        nodes = self.project.nodes(TRAINED)
        self.assertEqual(nodes["particles.star"], "ParticleGroupMetadata.star.relion.opusdsd")
        for name, kind in (
            ("selected_particles.star", "ParticleGroupMetadata.star.relion"),
            ("cluster001_particles.star", "ParticleGroupMetadata.star.relion"),
            ("cluster002.mrc", "DensityMap.mrc.opusdsd"),
            ("logfile.pdf", "LogFile.pdf"),
        ):
            self.assertTrue(nodes[name].startswith(kind), f"{name}: {nodes[name]}")
        self.assertTrue(all(Path(TRAINED, name).is_file() for name in nodes), nodes)
        self.exit_files(TRAINED, "PIPELINER_JOB_EXIT_SUCCESS")

    def exit_files(self, job, *wanted):
        """The host's exit files are the host's: one is there, and it is the right one."""
        self.assertEqual(sorted(p.name for p in Path(job).glob("PIPELINER_*")), sorted(wanted))

    def test_2_what_the_host_shows(self):
        job = PipelinerProject().get_job(TRAINED)
        for shown in (job.save_results_display_files(), job.load_results_display_files()):
            kinds = [item.dobj_type for item in shown]
            self.assertNotIn("pending", kinds, [item.__dict__ for item in shown if item.dobj_type == "pending"])
            for kind, number in (("pdffile", 1), ("montage", 1), ("mapmodel", 2), ("table", 1), ("graph", 1)):
                self.assertEqual(kinds.count(kind), number, kinds)
            self.assertGreaterEqual(kinds.count("image"), 4)
        table = next(item for item in shown if item.dobj_type == "table")
        self.assertEqual(sum(int(row[2]) for row in table.table_data), PARTICLES)
        graph = next(item for item in shown if item.dobj_type == "graph")
        self.assertEqual(sum(len(series) for series in graph.xvalues), PARTICLES)
        program = job.jobinfo.programs[0]
        self.assertEqual(program.get_version(), program.get_version_from_logs(TRAINED))
        self.assertRegex(program.get_version(), r"^\d+\.\d+\.\d+")
        self.assertEqual(job.gather_metadata()["epoch"], 2)
        self.assertEqual(job.prepare_clean_up_lists(), ([], [f"{TRAINED}prepared"]))

    def test_3_particles_join_back(self):
        given, found = rows("particles.star"), rows(f"{TRAINED}particles.star")
        for before, after in zip(given, found, strict=True):
            self.assertEqual({**before, "_rlnClassNumber": ""}, {**after, "_rlnClassNumber": ""})
        joined = rows(f"{TRAINED}cluster001_particles.star") + rows(f"{TRAINED}cluster002_particles.star")
        by_id = {row["_rlnImageId"]: row for row in joined}
        self.assertEqual(len(by_id), PARTICLES)
        self.assertEqual([by_id[row["_rlnImageId"]] for row in given], given, "a cluster's rows are those of the input")
        for number in (1, 2):
            ids = [row["_rlnImageId"] for row in rows(f"{TRAINED}cluster00{number}_particles.star")]
            self.assertEqual(ids, [row["_rlnImageId"] for row in found if row["_rlnClassNumber"] == str(number)], "in order")

    def test_4_analyse_the_output_node(self):
        job = self.project.run("opusdsd.analyse", in_parts=f"{TRAINED}particles.star", clusters=3, device="cpu")
        self.assertEqual(self.project.status(job), "Succeeded", text(f"{job}run.err"))
        self.assertEqual(self.project.parents(job), [TRAINED])
        nodes = self.project.nodes(job)
        self.assertIn("cluster003.mrc", nodes)
        self.assertEqual(len(rows(f"{job}particles.star")), PARTICLES)
        self.assertNotIn("cluster003.mrc", self.project.nodes(TRAINED))
        type(self).analysed = job

    def test_5_decode_along_a_component(self):
        job = self.project.run("opusdsd.decode", in_parts=f"{TRAINED}particles.star", pc=1, points=2, device="cpu")
        self.assertEqual(self.project.status(job), "Succeeded", text(f"{job}run.err"))
        self.assertEqual([name for name in self.project.nodes(job) if name.endswith(".mrc")], ["pc1/vol_000.mrc", "pc1/vol_001.mrc"])
        shown = [item.dobj_type for item in PipelinerProject().get_job(job).save_results_display_files()]
        self.assertEqual(shown.count("mapmodel"), 2, shown)

    def test_6_continue_with_more_epochs(self):
        # Another name, in another place: a job finds its own files again.
        PipelinerProject().set_alias(TRAINED, "states")
        self.project.move()
        self.assertEqual(json.loads(text("OpusDSD/states/results.json"))["epoch"], 2)
        star = JobStar(CONTINUE)
        self.assertNotIn("zdim", star.joboptions)
        star.modify({"epochs": "3"})
        star.write(CONTINUE)
        self.project.pipeliner("--continue_job", TRAINED)
        self.assertEqual(self.project.wait_for(TRAINED), "Succeeded", text(f"{TRAINED}run.err"))
        self.assertEqual(epochs(TRAINED), [1, 2, 3])
        self.assertEqual(json.loads(text(f"{TRAINED}results.json"))["epoch"], 3)
        self.exit_files(TRAINED, "PIPELINER_JOB_EXIT_SUCCESS")

    def test_7_abort_and_go_on(self):
        project = PipelinerProject()
        values = {**SHORT, "epochs": 500, "in_parts": "particles.star", "in_mask": "sim/mask.mrc"}
        job = project.run_job({"_rlnJobTypeLabel": "opusdsd.train", **values}).output_dir
        support.wait("an epoch", lambda: epochs(job) or Path(job, "PIPELINER_JOB_EXIT_FAILED").exists())
        project.abort_job(job)
        self.assertEqual(self.project.wait_for(job), "Aborted", text(f"{job}run.out"))
        self.exit_files(job, "PIPELINER_JOB_EXIT_ABORTED")
        self.assertNotIn("Killing command", text(f"{job}run.out"), "it ended by SIGTERM, with a checkpoint")
        self.assertIn("from the last checkpoint", text(f"{job}run.err"))
        self.assertNotIn("cluster001.mrc", self.project.nodes(job))
        done = epochs(job)
        shown = project.get_job(job).save_results_display_files()
        self.assertEqual([item.dobj_type for item in shown], ["text", "montage", "mapmodel", "graph"], "how far it is, the preview, latents")
        self.assertIn(f"epoch {done[-1]} is done", shown[0].display_data)

        # The host continues only what is marked as finished.
        self.project.pipeliner("--set_status", job, "success")
        again = project.get_continuation_job(job)
        again.joboptions["epochs"].value = done[-1] + 2
        project.run_job(again, run_in_foreground=True)
        self.assertEqual(self.project.status(job), "Succeeded", text(f"{job}run.err"))
        self.assertEqual(epochs(job), [*done, *range(done[-1] + 1, done[-1] + 3)], "no epoch twice, none left out")
        self.assertIn("cluster001.mrc", self.project.nodes(job))

    def test_8_without_the_plugin_by_an_external_job(self):
        job = self.project.run(
            "relion.external",
            fn_exe=shutil.which("opus-dsd"),
            in_part="particles.star",
            in_mask="sim/mask.mrc",
            **{"param1_label": "epochs", "param1_value": "1", "param2_label": "clusters", "param2_value": "2"},
            **{"param3_label": "preset", "param3_value": "tiny", "param4_label": "device", "param4_value": "cpu"},
            fn_output="particles.star",
            output_nodetype="ParticleGroupMetadata",
            output_kwds="relion:::opusdsd",
            nr_threads=2,
        )
        self.assertEqual(self.project.status(job), "Succeeded", text(f"{job}run.err"))
        self.assertEqual(self.project.nodes(job), {"particles.star": "ParticleGroupMetadata.star.relion.opusdsd"})
        self.exit_files(job, "PIPELINER_JOB_EXIT_SUCCESS")

    def test_8_without_the_plugin_in_the_job_folder(self):
        command = "opus-dsd train --o ./ --in_parts XXXparticles_1XXX --in_mask XXXmask_1XXX --epochs 1 --clusters 2 --preset tiny --device cpu --j 1"
        job = self.project.run(
            "pipeliner.run_external_program",
            in_particles="particles.star",
            in_mask="sim/mask.mrc",
            commands=command,
            do_outputs=True,
            fn_output="particles.star:::selected_particles.star",
            output_nodetype="ParticleGroupMetadata",
            output_kwds="relion:::opusdsd",
        )
        self.assertEqual(self.project.status(job), "Succeeded", text(f"{job}run.err"))
        self.assertEqual(len(self.project.nodes(job)), 2)
        self.assertEqual([r["_rlnImageId"] for r in rows(f"{job}particles.star")], [r["_rlnImageId"] for r in rows("particles.star")])
        # Its particles serve a job of ours as any trained job's do.
        analysed = self.project.run("opusdsd.analyse", in_parts=f"{job}particles.star", clusters=2, device="cpu")
        self.assertEqual(self.project.status(analysed), "Succeeded", text(f"{analysed}run.err"))
        self.assertEqual(self.project.parents(analysed), [job])

    def test_9_the_hosts_own_jobs_go_on(self):
        sample = self.project.run("pipeliner.select.random_sample", fn_parts=f"{TRAINED}selected_particles.star", n_samples=10)
        self.assertEqual(self.project.status(sample), "Succeeded", text(f"{sample}run.err"))
        self.assertEqual(self.project.parents(sample), [TRAINED])
        ids = {row["_rlnImageId"]: row for row in rows(f"{TRAINED}particles.star")}
        star = next(name for name in self.project.nodes(sample) if name.endswith(".star"))
        sampled = rows(f"{sample}{star}")
        self.assertEqual(len(sampled), 10)
        self.assertTrue(all(ids[row["_rlnImageId"]]["_rlnImageName"] == row["_rlnImageName"] for row in sampled))

    def test_9_relions_jobs_go_on(self):
        if shutil.which("relion_star_handler") is None:
            support.skip_or_fail("RELION")
        clusters = [f"{TRAINED}cluster00{n}_particles.star" for n in (1, 2)]
        joined = self.project.run("relion.joinstar.particles", fn_parts=":::".join(clusters))
        self.assertEqual(self.project.status(joined), "Succeeded", text(f"{joined}run.err"))
        star = next(name for name in self.project.nodes(joined) if name.endswith(".star"))
        self.assertEqual(
            sorted(row["_rlnImageId"] for row in rows(f"{joined}{star}")), sorted(row["_rlnImageId"] for row in rows("particles.star"))
        )
        volume = self.project.run("relion.reconstruct", input_particles=clusters[0])
        self.assertEqual(self.project.status(volume), "Succeeded", text(f"{volume}run.err"))
        mask = self.project.run("relion.maskcreate", fn_in=f"{TRAINED}cluster001.mrc", inimask_threshold=0.01)
        self.assertEqual(self.project.status(mask), "Succeeded", text(f"{mask}run.err"))
        for job in (joined, volume, mask):
            self.assertEqual(self.project.parents(job), [TRAINED])


class Mistakes(unittest.TestCase):
    """What cannot run says so before it is started, or in run.err."""

    @classmethod
    def setUpClass(cls):
        cls.project = Project()
        cls.addClassCleanup(cls.project.close)

    def test_1_values_are_refused_before_launch(self):
        for values, words in (
            ({}, "required"),
            ({"in_parts": "gone.star"}, "not found"),
            ({"in_parts": "particles.star", "zdim": 0}, "less than 1"),
            ({"in_parts": "particles.star", "lr": 0.0}, "above 0"),
        ):
            with self.assertRaisesRegex(ValueError, words):
                self.project.run("opusdsd.train", **{**SHORT, **values})
        self.assertFalse(os.path.exists("OpusDSD"), "nothing was begun")

    def test_2_a_failed_job_leaves_no_nodes(self):
        Path("bad.star").write_text("data_particles\n\nloop_\n_rlnImageName\n1@nowhere.mrcs\n")
        job = self.project.run("opusdsd.train", **{**SHORT, "in_parts": "bad.star"})
        self.assertEqual(self.project.status(job), "Failed")
        self.assertEqual(self.project.nodes(job), {})
        self.assertTrue(text(f"{job}run.err").startswith("error: "), text(f"{job}run.err"))
        shown = PipelinerProject().get_job(job).save_results_display_files()
        self.assertEqual([item.dobj_type for item in shown], ["pending"])


if __name__ == "__main__":
    unittest.main()
