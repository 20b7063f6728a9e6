from ..outputs import CLASSES_OUTPUT
from .protocol_trained import OfATrainedJob


class OpusDsdRsProtAnalyze(OfATrainedJob):
    """Finds clusters in the latents of a trained job, and decodes their volumes.

    Give the particles of the training, or a subset of them, or its run; the trained job is not changed. Of a subset the clusters
    are still those of all particles, and the outputs have the subset's particles only.
    """

    _label = "analyze"
    _job = "analyse"
    _possibleOutputs = CLASSES_OUTPUT
