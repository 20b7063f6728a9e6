"""What the host shows of a job, read from the results file that the program rewrites while it runs."""

import json
import os
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np
from gemmi import cif
from pipeliner.display_tools import create_results_display_object, make_maps_slice_montage_and_3d_display
from pipeliner.results_display_objects import ResultsDisplayObject

#: What a job leaves for those who show it; its paths are relative to the job folder.
RESULTS = "results.json"
REPORT = "logfile.pdf"
#: Points of the latents' plot: as many as a browser draws without delay.
PLOTTED = 5000


def of_folder(folder: str) -> List[ResultsDisplayObject]:
    """Everything there is to show of a job folder, the report first.

    Args:
        folder: The job folder from the project's folder on, with its closing slash.
    """
    path = Path(folder) / RESULTS
    if not path.is_file():
        return [
            create_results_display_object(
                "pending",
                message="There is nothing to show before the first epoch is done",
                reason=f"{path} does not exist; {folder}run.out says how far the job is, {folder}run.err why it stopped",
            )
        ]
    results = json.loads(path.read_text())
    latents = _latents(folder, results)
    shown: List[Optional[ResultsDisplayObject]] = [_state(folder, results), _report(folder)]
    shown += _maps(folder, results)
    shown += [_clusters(folder, results), _plot_of(folder, results, latents)]
    shown += [_image(folder, file) for file in results["plots"]]
    return [item for item in shown if item is not None]


def _state(folder: str, results: Dict[str, Any]) -> Optional[ResultsDisplayObject]:
    """How far a job is that is not done."""
    if results["complete"]:
        return None
    there = [f"epoch {results['epoch']} is done"]
    there.append("clusters are known" if results["particles"] else "clusters are not known yet")
    there.append(f"{len(results['volumes'])} maps are decoded")
    text = f"{', '.join(there)}. A job that was stopped goes on from here when it is continued."
    return create_results_display_object("text", title="Not complete", display_data=text, associated_data=[f"{folder}{RESULTS}"])


def _report(folder: str) -> Optional[ResultsDisplayObject]:
    file = f"{folder}{REPORT}"
    return create_results_display_object("pdffile", title="Report", file_path=file) if os.path.isfile(file) else None


def _maps(folder: str, results: Dict[str, Any]) -> List[Optional[ResultsDisplayObject]]:
    """Slices of all maps, and a viewer for each; while training the preview."""
    maps = {f"{folder}{volume['file']}": _name(volume) for volume in results["volumes"]}
    preview = results.get("preview")
    if not maps and preview:
        maps = {f"{folder}{preview}": f"Preview, epoch {results['epoch']}"}
    maps = {file: name for file, name in maps.items() if os.path.isfile(file)}
    return list(make_maps_slice_montage_and_3d_display(maps, folder)) if maps else []


def _name(volume: Dict[str, Any]) -> str:
    if volume.get("class") is None:
        return str(volume["file"])
    return f"Cluster {volume['class']}: {volume['n']} particles"


def _clusters(folder: str, results: Dict[str, Any]) -> Optional[ResultsDisplayObject]:
    """A row a map: its particles and where it lies among the latents."""
    volumes = results["volumes"]
    if not volumes:
        return None
    total = sum(volume.get("n") or 0 for volume in volumes)
    rows = []
    for volume in volumes:
        n = volume.get("n")
        share = f"{100 * n / total:.1f} %" if n else ""
        rows.append([volume["file"], _cell(volume.get("class")), _cell(n), share] + [f"{z:.4f}" for z in volume["z"]])
    headers = ["Map", "Cluster", "Particles", "Share"] + [f"z{i + 1}" for i in range(len(volumes[0]["z"]))]
    return create_results_display_object(
        "table", title="Maps and their latents", headers=headers, table_data=rows, associated_data=_sources(folder, results)
    )


def _cell(value: Any) -> str:
    return "" if value is None else str(value)


def _sources(folder: str, results: Dict[str, Any]) -> List[str]:
    return [f"{folder}{file}" for file in (RESULTS, results.get("latents"), results["particles"]) if file]


def _latents(folder: str, results: Dict[str, Any]) -> Optional[np.ndarray]:
    """Latents of all particles, [particles, zdim]; row i is row i of the job's particles."""
    file = results.get("latents")
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
