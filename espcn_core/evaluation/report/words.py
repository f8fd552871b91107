"""What the page says around its numbers."""

RESULTS = """
<h2>PSNR and SSIM</h2>
<p>Each slice is measured in each region with the same peak; the slices of a $unit are averaged, then the
${unit}s. The best of each group is bold. Air makes errors small, so the head alone says more than the whole
image.</p>
"""

VOLUMES = """
<h2>Volume by volume</h2>
<p>Volumes differ in subject, scanner, contrast and size of a pixel, so that each says more than their mean.
Below its name is the plane of the slices that were measured, and the size of their true pixels.</p>
"""

CHECKS = """
<h2>What should hold</h2>
"""

DEGRADATIONS = """
<h2>Other degradations</h2>
<p>How the coarse image came from the fine one decides what a network can do. Rows are methods, columns the
degradations they were tested on. Below the name of a model is what it was trained on, and * marks that.</p>
"""

POINT = """
<p><em>point</em> takes single values without antialiasing: what is finer than the coarse grid comes back as
false edges, and a network that never saw such edges sharpens them.</p>
"""

NOISE = """
<p>With Rician noise the coarse image is noisy and the truth is not, so part of a gain is denoising.</p>
"""

STATISTICS = """
<h2>Statistics</h2>
<p>The test that counts is Wilcoxon signed-rank on one difference per patient. The effect size r is the
matched-pairs rank-biserial correlation: +1 if the difference is positive in every patient, &minus;1 if in
none, 0 if neither side prevails. p is adjusted by Holm within each family.</p>
<p>Mann-Whitney U stands beside it because earlier studies report it. It is not enough: it takes all values
for independent, but two methods, or tumor and head, are measured on the same slice and rise and fall
together, and the slices of a patient are near copies of each other. Without the pairs it misses differences
that every patient shows; with slices counted as patients it finds differences that are only those of a few
patients, the surer the more slices are cut from them.</p>
"""

FEW_VOLUMES = """
<p>Each volume stands for a patient here. With fewer than six no test can show anything at the level of
0.05, and an interval is only that of these volumes.</p>
"""

SHIFTS = """
<h2>Shifts</h2>
<p>A method on another grid loses several dB to a fraction of a pixel, however good it is. All methods here
keep the field of view; the search for the shift that gives the best PSNR shows it.</p>
"""

ARTEFACTS = """
<h2>What PSNR hides</h2>
<ul>
<li><b>HFEN</b>, high-frequency error norm: error after a Laplacian of Gaussian, relative to the truth; 0 is
perfect, 1 is what an image without any edge has.</li>
<li><b>Checkerboard energy</b>: share of the energy around the period of the sub-pixels; a pattern of the
method's own where it is above that of the truth.</li>
<li><b>Mean drift</b>: mean of the result less the mean of the coarse image that it was made from.</li>
<li><b>Consistency</b>: PSNR of the result, degraded again, against the coarse image that it was made from;
low where a method invents.</li>
</ul>
"""

PICTURES = """
<h2>Pictures</h2>
<p>The ${unit}s are ranked by their mean gain of $main over $reference; the slice shown is the one nearest to
the mean of its $unit. All panels of a slice show the same window, the grey values of the truth, and one scale
of errors.</p>
"""

PROFILE = """
Along $along $place, across the steepest edge near the region: the yellow line in the truth above. """

SPECTRA = """
Mean power over all directions of the whole slice. What lies beyond the coarse grid's limit was not in the
coarse image: a method makes it up, rightly or not. """

FILES = """
<p>Every number: <a href="results.json">results.json</a> (aggregated) and <a
href="records.csv">records.csv</a> (by slice), in the folder of this page.</p>
"""
