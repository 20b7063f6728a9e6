"""

@article{Luo2023,
title = "OPUS-DSD: deep structural disentanglement for cryo-EM single-particle analysis",
author = "Luo, Zhenwei and Ni, Fengyun and Wang, Qinghua and Ma, Jianpeng",
journal = "Nature Methods",
volume = "20",
number = "11",
pages = "1729-1738",
year = "2023",
doi = "10.1038/s41592-023-02031-6",
url = "https://doi.org/10.1038/s41592-023-02031-6",
}

"""
