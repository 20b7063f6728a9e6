"""What the host shows of a job, read from the results file that the program rewrites while it runs."""

import json
import os
import re
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
from gemmi import cif
from pipeliner.display_tools import (
    create_results_display_object,
    make_map_model_thumb_and_display,
    make_mrcs_central_slices_montage,
)
from pipeliner.results_display_objects import ResultsDisplayObject

#: What a job leaves for those who show it; its paths are relative to the job folder.
RESULTS = "results.json"
REPORT = "logfile.pdf"
#: Points of the latents' plot: as many as a browser draws without delay.
PLOTTED = 5000


def read(folder: str) -> Optional[Dict[str, Any]]:
    """The results file of a job folder; `None` before there is one."""
    path = Path(folder) / RESULTS
    return json.loads(path.read_text()) if path.is_file() else None


def is_current(results: Optional[Dict[str, Any]], output: Dict[str, Any], file: str) -> bool:
    """Whether a file is of the job's last run: a continued job with fewer clusters leaves those of the run before.

    Args:
        results: The results file.
        output: The manifest's output that the file was found by.
        file: Its name, relative to the job folder.
    """
    if "*" not in output["path"]:
        return True
    if results is None:
        return False
    if output["kind"] == "particles":
        numbered = re.fullmatch(re.escape(output["path"]).replace(r"\*", r"(\d+)"), file)
        return numbered is not None and int(numbered[1]) in [cluster["class"] for cluster in results.get("clusters", []) if cluster["n"]]
    halves = [half for state in results.get("halves", []) for half in (state["first"], state["second"])]
    return file in halves + [volume["file"] for series in [results, *results["series"]] for volume in series["volumes"]]


def of_folder(folder: str) -> List[ResultsDisplayObject]:
    """Everything there is to show of a job folder, the report first.

    Args:
        folder: The job folder from the project's folder on, with its closing slash.
    """
    results = read(folder)
    if results is None:
        return [
            create_results_display_object(
                "pending",
                message="There is nothing to show before the first epoch is done",
                reason=f"{folder}{RESULTS} does not exist; {folder}run.out says how far the job is, {folder}run.err why it stopped",
            )
        ]
    latents = _latents(folder, results)
    shown: List[Optional[ResultsDisplayObject]] = [_state(folder, results), _report(folder)]
    shown += _maps(folder, results)
    shown += [_table(folder, results), _plot_of(folder, results, latents)]
    shown += [_image(folder, file) for file in results["plots"]]
    return [item for item in shown if item is not None]


def _state(folder: str, results: Dict[str, Any]) -> Optional[ResultsDisplayObject]:
    """How far a job is that is not done."""
    if results["complete"]:
        return None
    there = [f"epoch {results['epoch']} is done" if results["epoch"] else "no epoch is done yet"]
    there.append("clusters are known" if results["particles"] else "clusters are not known yet")
    maps = len(results["volumes"]) + sum(len(series["volumes"]) for series in results["series"])
    there.append(f"{maps} maps are decoded")
    text = f"{', '.join(there)}. A job that was stopped goes on from here when it is continued."
    return create_results_display_object("text", title="Not complete", display_data=text, associated_data=[f"{folder}{RESULTS}"])


def _report(folder: str) -> Optional[ResultsDisplayObject]:
    file = f"{folder}{REPORT}"
    return create_results_display_object("pdffile", title="Report", file_path=file) if os.path.isfile(file) else None


def _maps(folder: str, results: Dict[str, Any]) -> List[Optional[ResultsDisplayObject]]:
    """Slices of the clusters' maps, of every series, and a viewer for each map; while training the preview."""
    groups = [{volume["file"]: f"Cluster {volume['class']}: {volume['n']} particles" for volume in results["volumes"]}]
    for series in results["series"]:
        groups.append({volume["file"]: volume["file"] for volume in series["volumes"]})
    if not any(groups) and results["preview"]:
        groups = [{results["preview"]: f"Preview, epoch {results['epoch']}"}]
    shown: List[Optional[ResultsDisplayObject]] = []
    for group in groups:
        maps = {f"{folder}{file}": name for file, name in group.items() if os.path.isfile(f"{folder}{file}")}
        if maps:
            shown.append(make_mrcs_central_slices_montage(maps, folder))
        for file, name in maps.items():
            # The host keeps a smaller copy of a large map under its last name, which every series uses again.
            shown.append(make_map_model_thumb_and_display(f"{os.path.dirname(file)}/", maps=[file], title=name))
    return shown


def _table(folder: str, results: Dict[str, Any]) -> Optional[ResultsDisplayObject]:
    """A row a map: its particles and where it lies among the latents."""
    total = sum(volume["n"] for volume in results["volumes"])
    rows = []
    for volume in results["volumes"]:
        share = f"{100 * volume['n'] / total:.1f} %"
        rows.append([volume["file"], str(volume["class"]), str(volume["n"]), share, *_numbers(volume["z"])])
    for series in results["series"]:
        rows += [[volume["file"], "", "", "", *_numbers(volume["z"])] for volume in series["volumes"]]
    if not rows:
        return None
    headers = ["Map", "Cluster", "Particles", "Share"] + [f"z{i + 1}" for i in range(results["zdim"])]
    return create_results_display_object(
        "table", title="Maps and their latents", headers=headers, table_data=rows, associated_data=_sources(folder, results)
    )


def _numbers(latent: List[float]) -> List[str]:
    return [f"{z:.4f}" for z in latent]


def _sources(folder: str, results: Dict[str, Any]) -> List[str]:
    return [f"{folder}{file}" for file in (RESULTS, results["latents"], results["particles"]) if file]


def _latents(folder: str, results: Dict[str, Any]) -> Optional[np.ndarray]:
    """Latents of all particles, [particles, zdim]; row i is row i of the job's particles."""
    file = results["latents"]
    return np.load(f"{folder}{file}", mmap_mode="r") if file and os.path.isfile(f"{folder}{file}") else None


def _plot_of(folder: str, results: Dict[str, Any], latents: Optional[np.ndarray]) -> Optional[ResultsDisplayObject]:
    """The latents along their first two principal components, coloured by cluster."""
    if latents is None or latents.shape[1] < 2 or len(latents) < 2:
        return None
    rows = np.unique(np.linspace(0, len(latents) - 1, PLOTTED).astype(int)) if len(latents) > PLOTTED else np.arange(len(latents))
    places = _principal(np.asarray(latents), rows)
    classes = _classes(folder, results)
    series = {}
    if classes is None:
        series["all particles"] = places
    else:
        for number in np.unique(classes):
            series[f"cluster {number}"] = places[classes[rows] == number]
    series = {label: points for label, points in series.items() if len(points)}
    some = "" if len(rows) == len(latents) else f", {len(rows)} of {len(latents)} particles"
    return create_results_display_object(
        "graph",
        title=f"Latents along their principal components{some}",
        xvalues=[points[:, 0].tolist() for points in series.values()],
        yvalues=[points[:, 1].tolist() for points in series.values()],
        xaxis_label="first component",
        yaxis_label="second component",
        data_series_labels=list(series),
        modes=["markers"],
        associated_data=_sources(folder, results),
    )


def _principal(latents: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Coordinates of some rows along the two directions in which all rows vary most, [rows, 2]."""
    mean = latents.mean(axis=0, dtype=np.float64)
    covariance = np.cov(latents.T.astype(np.float64))
    directions = np.linalg.eigh(covariance)[1][:, ::-1][:, :2]
    return (latents[rows] - mean) @ directions


def _classes(folder: str, results: Dict[str, Any]) -> Optional[np.ndarray]:
    """Cluster of every particle, where clusters are known."""
    if not results["particles"]:
        return None
    block = cif.read_file(f"{folder}{results['particles']}").find_block("particles")
    return np.array([int(value) for value in block.find_values("_rlnClassNumber")])


def _image(folder: str, file: str) -> ResultsDisplayObject:
    path = f"{folder}{file}"
    return create_results_display_object(
        "image", title=Path(file).stem, image_path=path, image_desc="", associated_data=[f"{folder}{RESULTS}"]
    )
