"""Job types of opus-dsd for the CCP-EM Pipeliner and Doppio.

The forms are built from `manifest.json`, which `opus-dsd manifest --for ccpem` writes: no option is named here a second time.
"""

__version__ = "0.1.0"
