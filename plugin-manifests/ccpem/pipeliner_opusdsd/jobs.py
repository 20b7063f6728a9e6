"""The job types. What differs between them is in the manifest; here is what the host wants of all of them."""

import re
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from pipeliner.job_options import JobOptionValidationResult
from pipeliner.node_factory import create_node
from pipeliner.nodes import Node
from pipeliner.pipeliner_job import ExternalProgram, PipelinerCommand, PipelinerJob, Ref
from pipeliner.results_display_objects import ResultsDisplayObject

from . import display, manifest, options

#: The executable, looked for on PATH.
PROGRAM = "opus-dsd"
#: Line of `opus-dsd --version`, and the first line of every run.
VERSION = re.compile(r"\bopus-dsd (?P<v>\d+\.\d+\.\d+[0-9A-Za-z.+-]*)")
DOCUMENTATION = "https://github.com/opus-dsd/opus-dsd/blob/main/docs/guides/ccpem.md"


def references() -> List[Ref]:
    """What users are asked to cite."""
    return [
        Ref(
            authors=["Luo Z", "Ni F", "Wang Q", "Ma J"],
            title="OPUS-DSD: deep structural disentanglement for cryo-EM single-particle analysis",
            journal="Nature Methods",
            year="2023",
            volume="20",
            pages="1729-1738",
            doi="10.1038/s41592-023-02031-6",
        )
    ]


class OpusDsdJob(PipelinerJob):
    """A verb of opus-dsd as a job type; not one itself."""

    OUT_DIR = "OpusDSD"
    CATEGORY_LABEL = "Continuous Heterogeneity"
    #: Id of the job in the manifest.
    JOB = ""
    #: Keywords of the nodes that an input takes, by the parameter's id.
    KEYWORDS: Dict[str, List[str]] = {"in_parts": ["relion"]}

    def __init__(self) -> None:
        super().__init__()
        self.entry = manifest.job(self.JOB)
        self.jobinfo.display_name = self.entry["title"]
        self.jobinfo.version = manifest.manifest()["version"]
        self.jobinfo.job_author = "the opus-dsd authors"
        self.jobinfo.short_desc = self.entry["help"]
        self.jobinfo.long_desc = self.entry["help"]
        self.jobinfo.documentation = DOCUMENTATION
        self.jobinfo.programs = [
            ExternalProgram(command=PROGRAM, vers_com=[PROGRAM, "--version"], vers_regex=VERSION, onedep_name="OPUS-DSD")
        ]
        self.jobinfo.references = references()
        self.can_continue = self.entry["resumable"]
        self.joboptions.update(options.job_options(self.entry, self.KEYWORDS))
        threads = any(param["type"] == "threads" for param in manifest.shown(self.entry))
        self.get_runtab_options(threads=threads, addtl_args=True)

    def additional_joboption_validation(self) -> List[JobOptionValidationResult]:
        found = [
            JobOptionValidationResult("error", [self.joboptions[name]], message)
            for name, message in options.out_of_bounds(self.entry, self).items()
        ]
        for names in self.entry["one_of"]:
            given = [self.joboptions[name] for name in names if not self.joboptions[name].is_blank]
            if len(given) != 1:
                labels = ", ".join(f'"{self.joboptions[name].label}"' for name in names)
                found.append(JobOptionValidationResult("error", given, f"Give one of {labels}, and no more"))
        mismatch = self._version_mismatch()
        return found + ([mismatch] if mismatch else [])

    def _version_mismatch(self) -> Optional[JobOptionValidationResult]:
        """An error where program and package may not understand each other, a warning where one lags behind."""
        ours, theirs = manifest.manifest()["version"], self.jobinfo.programs[0].get_version()
        if theirs is None or theirs == ours:
            return None
        kind = "warning" if theirs.split(".")[0] == ours.split(".")[0] else "error"
        message = f"{PROGRAM} is of version {theirs}, this form of {ours}: install opusdsd-pipeliner of the program's version"
        return JobOptionValidationResult(kind, [], message)

    def get_commands(self) -> List[PipelinerCommand]:
        command: List[Union[str, float, int]] = [PROGRAM, *self.entry["command"], "--o", self.output_dir]
        return [PipelinerCommand(command + options.arguments(self.entry, self) + self.parse_additional_args())]

    def create_output_nodes(self) -> None:
        for output, node in self._nodes():
            if "*" not in output["path"]:
                self.add_output_node(output["path"], node["type"], node["keywords"])

    def create_post_run_output_nodes(self) -> None:
        self.output_nodes.extend(self.get_current_output_nodes())

    def get_current_output_nodes(self) -> List[Node]:
        folder, results = Path(self.output_dir), display.read(self.output_dir)
        return [
            create_node(str(file), node["type"], node["keywords"])
            for output, node in self._nodes()
            for file in sorted(folder.glob(output["path"]))
            if display.is_current(results, output, str(file.relative_to(folder)))
        ]

    def _nodes(self) -> List[Tuple[Dict[str, Any], Dict[str, Any]]]:
        """Outputs that become nodes, each with its type and keywords."""
        return [(output, output[manifest.HOST]) for output in self.entry["outputs"] if manifest.HOST in output]

    def create_results_display(self) -> Sequence[ResultsDisplayObject]:
        return display.of_folder(self.output_dir)

    def gather_metadata(self) -> Dict[str, Any]:
        """Epochs, pixel size and clusters, from the results file."""
        found = display.read(self.output_dir)
        if found is None:
            return super().gather_metadata()
        kept = {name: found[name] for name in ("verb", "complete", "epoch", "apix", "box", "zdim")}
        return {**kept, "clusters": [{"class": volume["class"], "particles": volume["n"]} for volume in found["volumes"]]}

    def prepare_clean_up_lists(self, do_harsh: bool = False) -> Tuple[List[str], List[str]]:
        """The prepared images, which a continued job makes again; a harsh clean-up keeps the model as well."""
        prepared = Path(self.output_dir) / "prepared"
        return [], [str(prepared)] if prepared.is_dir() else []


class OpusDsdTrain(OpusDsdJob):
    """Learns how every particle of a consensus refinement differs from it."""

    PROCESS_NAME = "opusdsd.train"
    JOB = "train"


class OpusDsdAnalyse(OpusDsdJob):
    """Other clusters and maps from a trained job."""

    PROCESS_NAME = "opusdsd.analyse"
    JOB = "analyse"
    KEYWORDS = {"in_parts": ["relion", "opusdsd"]}


class OpusDsdDecode(OpusDsdJob):
    """Maps of chosen latents from a trained job."""

    PROCESS_NAME = "opusdsd.decode"
    JOB = "decode"
    KEYWORDS = {"in_parts": ["relion", "opusdsd"]}


class OpusDsdEncode(OpusDsdJob):
    """Latents and clusters of any particles, by a trained job's model."""

    PROCESS_NAME = "opusdsd.encode"
    JOB = "encode"
    KEYWORDS = {"in_parts": ["relion"], "in_3dref": ["opusdsd"]}


class OpusDsdSelect(OpusDsdJob):
    """Particles of a trained job by cluster, region or latents."""

    PROCESS_NAME = "opusdsd.select"
    JOB = "select"
    KEYWORDS = {"in_parts": ["relion", "opusdsd"]}


class OpusDsdCheck(OpusDsdJob):
    """Whether particles, poses, map and mask belong together."""

    PROCESS_NAME = "opusdsd.check"
    JOB = "check"
