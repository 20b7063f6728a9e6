"""Forms and command lines from the manifest, without running anything."""

import json
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from importlib_metadata import entry_points
from pipeliner.job_factory import new_job_of_type
from pipeliner.job_options import BooleanJobOption, InputNodeJobOption, IntJobOption, MultipleChoiceJobOption

from pipeliner_opusdsd import conditions, manifest, options

KINDS = ("opusdsd.train", "opusdsd.analyse", "opusdsd.decode", "opusdsd.encode", "opusdsd.select", "opusdsd.check")


def param(name, kind, **more):
    """A parameter as the manifest has it."""
    plain = {"id": name, "option": f"--{name}", "names": {}, "type": kind, "default": None, "required": False}
    return {**plain, "level": "normal", "label": name, "help": "", **more}


def entry(*params, resumable=True):
    return {"id": "test", "resumable": resumable, "sections": [{"title": "Input", "params": list(params)}]}


class Job:
    """Stands for a job: options that can be filled in."""

    def __init__(self, of, **values):
        self.entry = of
        self.joboptions = options.job_options(of, {})
        for name, value in values.items():
            self.joboptions[name].value = value

    def check_joboption_is_now_deactivated(self, name):
        condition = self.joboptions[name].deactivate_if
        return condition is not None and condition.check_condition_is_met(self.joboptions)[0]

    def line(self):
        return " ".join(options.arguments(self.entry, self))


class Forms(unittest.TestCase):
    def test_the_job_types_are_found_by_entry_point(self):
        found = [point.name for point in entry_points(group="ccpem_pipeliner.jobs") if point.name.startswith("opusdsd.")]
        self.assertEqual(sorted(found), sorted(KINDS))

    def test_every_parameter_of_every_job_has_a_field(self):
        for kind in KINDS:
            job = new_job_of_type(kind)
            names = [conditions.key(p) for p in manifest.shown(job.entry)]
            self.assertEqual(len(names), len(set(names)), f"{kind}: names are unique")
            self.assertEqual([name for name in names if name not in job.joboptions], [])
            labels = [option.label for option in job.joboptions.values()]
            self.assertEqual(len(labels), len(set(labels)), f"{kind}: run.job files know options by their labels")
            self.assertFalse([label for label in labels if "==" in label])
            # Everything in the form was made from the manifest, or is the host's own.
            hosts = {"nr_threads", "other_args", "do_queue", "queuename", "qsub", "qsubscript", "min_dedicated"}
            self.assertEqual(set(job.joboptions) - set(names), hosts - set(names))

    def test_what_job_types_name_are_parameters(self):
        for kind in KINDS:
            job = new_job_of_type(kind)
            named = {*job.KEYWORDS, *(name for names in job.entry["one_of"] for name in names)}
            self.assertEqual(named - set(job.joboptions), set())

    def test_one_of_several_is_given(self):
        job = new_job_of_type("opusdsd.decode")
        job.joboptions["in_parts"].value = "OpusDSD/job001/particles.star"

        def errors():
            return [str(found) for found in job.additional_joboption_validation() if found.type == "error"]

        self.assertEqual(len(errors()), 1)
        job.joboptions["pc"].value = 1
        self.assertEqual(errors(), [])
        job.joboptions["particles"].value = "0,1"
        self.assertIn('Give one of "File of latents"', errors()[0])

    def test_inputs_take_nodes_of_the_right_kind(self):
        train, analyse = new_job_of_type("opusdsd.train"), new_job_of_type("opusdsd.analyse")
        particles = train.joboptions["in_parts"]
        self.assertIsInstance(particles, InputNodeJobOption)
        self.assertEqual((particles.node_type, particles.node_kwds), ("ParticleGroupMetadata", ["relion"]))
        self.assertEqual(train.joboptions["in_mask"].node_type, "Mask3D")
        self.assertEqual(train.joboptions["in_3dref"].node_type, "DensityMap")
        self.assertEqual(analyse.joboptions["in_parts"].node_kwds, ["relion", "opusdsd"])

    def test_kinds_of_fields(self):
        made = options.job_options(
            entry(
                param("n", "int", default=3, min=1, max=9, help="A number"),
                param("over", "int", above=2.0),
                param("x", "float", above=0.0, max=1.0, default=0.004, unit="Å"),
                param("switch", "bool", default=True),
                param("maybe", "bool"),
                param("kind", "choice", choices=["a", "b"], default="b"),
                param("free", "choice", choices=["a", "b"], choices_help=["One", "Two"], automatic="from n", level="advanced"),
                param("zdim", "int", default=8, fixed_on_continue=True),
                param("secret", "int", level="hidden"),
                param("other", "int", hosts=["scipion"]),
                param("ours", "int", default=1, defaults={"ccpem": 5}),
            ),
            {},
        )
        self.assertEqual(made["n"].help_text, "A number")
        self.assertEqual(made["free"].help_text, '\na: One\nb: Two\nLeft "automatic": from n')
        self.assertEqual((made["n"].hard_min, made["n"].hard_max, made["n"].value, made["n"].in_continue), (1, 9, 3, True))
        self.assertEqual(made["over"].hard_min, 3)
        self.assertEqual((made["x"].label, made["x"].hard_min, made["x"].step_value), ("x (Å)", 0.0, 0.001))
        self.assertIsInstance(made["switch"], BooleanJobOption)
        self.assertEqual((made["maybe"].choices, made["maybe"].value), (["automatic", "yes", "no"], "automatic"))
        self.assertEqual((made["kind"].choices, made["kind"].value), (["a", "b"], "b"))
        self.assertEqual((made["free"].choices, made["free"].value), (["automatic", "a", "b"], "automatic"))
        self.assertEqual((made["n"].jobop_group, made["free"].jobop_group), ("Main", "Advanced input"))
        self.assertFalse(made["zdim"].in_continue, "another network is another job")
        self.assertEqual(made["ours"].value, 5)
        self.assertNotIn("secret", made)
        self.assertNotIn("other", made)
        self.assertIsInstance(made["over"], IntJobOption)
        self.assertIsInstance(made["free"], MultipleChoiceJobOption)

    def test_an_unknown_type_is_refused(self):
        with self.assertRaisesRegex(manifest.ManifestError, "`odd`.*`colour`"):
            options.job_options(entry(param("odd", "colour")), {})

    def test_another_schema_is_refused(self):
        with mock.patch.object(manifest, "SCHEMA", 2), self.assertRaisesRegex(manifest.ManifestError, "schema 1"):
            manifest.manifest.__wrapped__()


class Versions(unittest.TestCase):
    def test_a_program_of_another_version_is_told(self):
        job = new_job_of_type("opusdsd.train")
        ours = manifest.manifest()["version"]
        major, minor = ours.split(".")[:2]
        other = {f"{int(major) + 1}.0.0": "error", f"{major}.{int(minor) + 1}.0": "warning", ours: None, None: None}
        for version, kind in other.items():
            with mock.patch.object(job.jobinfo.programs[0], "get_version", return_value=version):
                found = [result.type for result in job.additional_joboption_validation()]
            self.assertEqual(found, [kind] if kind else [], version)


class Nodes(unittest.TestCase):
    def test_files_of_an_earlier_run_are_no_nodes(self):
        job = new_job_of_type("opusdsd.train")
        with tempfile.TemporaryDirectory() as folder:
            job.output_dir = f"{folder}/"
            for n in (1, 2, 3):
                Path(folder, f"cluster00{n}.mrc").touch()
                Path(folder, f"cluster00{n}_particles.star").touch()
            self.assertEqual(job.get_current_output_nodes(), [], "no results yet")
            volumes = [{"file": f"cluster00{n}.mrc", "class": n, "n": 5, "z": [0.0]} for n in (1, 2)]
            Path(folder, "results.json").write_text(json.dumps({"volumes": volumes, "series": [], "clusters": [{"class": v["class"], "n": v["n"]} for v in volumes]}))
            names = [Path(node.name).name for node in job.get_current_output_nodes()]
        wanted = ["cluster001.mrc", "cluster001_particles.star", "cluster002.mrc", "cluster002_particles.star"]
        self.assertEqual(sorted(names), wanted)


class Lines(unittest.TestCase):
    FORM = entry(
        param("zdim", "int", option="--zdim"),
        param("plot", "bool", default=True),
        param("maybe", "bool"),
        param("base", "choice", choices=["auto", "none"]),
        param("pc", "int"),
        param("points", "int", default=10, when={"param": "pc", "given": True}),
        param("z", "file", when={"param": "pc", "given": False}),
        param("strength", "float", when={"all": [{"param": "plot", "is": [True]}, {"param": "base", "is": ["none"]}]}),
        param("note", "text"),
    )

    def test_what_is_left_blank_is_left_out(self):
        self.assertEqual(Job(self.FORM).line(), "--plot yes")

    def test_values_are_written_as_the_program_reads_them(self):
        job = Job(self.FORM, zdim=8, plot=False, maybe="no", base="auto", note="a b")
        self.assertEqual(options.arguments(self.FORM, job)[-2:], ["--note", "a b"])
        self.assertEqual(job.line(), "--zdim 8 --plot no --maybe no --base auto --note a b")

    def test_what_has_no_meaning_is_left_out(self):
        self.assertEqual(Job(self.FORM, pc=1, z="z.txt").line(), "--plot yes --pc 1 --points 10")
        self.assertEqual(Job(self.FORM, z="z.txt").line(), "--plot yes --z z.txt")
        self.assertEqual(Job(self.FORM, strength=0.5).line(), "--plot yes")
        self.assertEqual(Job(self.FORM, strength=0.5, base="none").line(), "--plot yes --base none --strength 0.5")

    def test_exclusive_bounds_hold(self):
        form = entry(param("lr", "float", above=0.0, default=0.1))
        self.assertEqual(options.out_of_bounds(form, Job(form)), {})
        self.assertEqual(options.out_of_bounds(form, Job(form, lr=0.0)), {"lr": "Value must be above 0.0"})


class Conditions(unittest.TestCase):
    PARAMS = {p["id"]: p for p in (param("a", "choice", choices=["x", "y", "z"]), param("n", "int"), param("t", "text"), param("s", "bool", default=True))}

    def both(self, when):
        made = [f(when, self.PARAMS) for f in (conditions.active, conditions.inactive)]
        return [(c.operation, c.conditions) for c in made]

    def holds(self, when, **values):
        job = Job(entry(*self.PARAMS.values()), **values)
        on, off = (f(when, self.PARAMS).check_condition_is_met(job.joboptions)[0] for f in (conditions.active, conditions.inactive))
        self.assertNotEqual(on, off, f"{when} with {values}")
        return on

    def test_each_is_the_other_turned_round(self):
        one = {"param": "a", "is": ["x", "y"]}
        self.assertEqual(self.both(one)[0], ("ANY", [("a", "=", "x"), ("a", "=", "y")]))
        self.assertEqual(self.both(one)[1], ("ALL", [("a", "!=", "x"), ("a", "!=", "y")]))
        self.assertTrue(self.holds(one, a="y"))
        self.assertFalse(self.holds(one, a="z") or self.holds(one))

    def test_given_or_not(self):
        for name, value in (("n", 0), ("t", "text"), ("a", "x")):
            given = {"param": name, "given": True}
            self.assertTrue(self.holds(given, **{name: value}), name)
            self.assertFalse(self.holds(given), name)
            self.assertTrue(self.holds({"param": name, "given": False}), name)

    def test_numbers_and_switches(self):
        self.assertTrue(self.holds({"param": "n", "is": [3]}, n=3))
        self.assertFalse(self.holds({"param": "n", "is": [3]}, n=4) or self.holds({"param": "n", "is": [3]}))
        self.assertTrue(self.holds({"param": "s", "is": [True]}) and not self.holds({"param": "s", "is": [True]}, s=False))

    def test_all_and_any(self):
        both = {"all": [{"param": "a", "is": ["x"]}, {"param": "n", "given": True}]}
        either = {"any": both["all"]}
        for a, n, wanted in (("x", 1, (True, True)), ("x", None, (False, True)), ("y", 1, (False, True)), ("y", None, (False, False))):
            self.assertEqual((self.holds(both, a=a, n=n), self.holds(either, a=a, n=n)), wanted)

    def test_what_the_host_cannot_show_is_refused(self):
        mixed = {"all": [{"any": [{"param": "a", "is": ["x"]}, {"param": "t", "given": True}]}, {"param": "n", "given": True}]}
        for when in (mixed, {"param": "n", "is": [3, 4]}):
            with self.assertRaisesRegex(manifest.ManifestError, "cannot be shown"):
                conditions.inactive(when, self.PARAMS)


if __name__ == "__main__":
    unittest.main()
