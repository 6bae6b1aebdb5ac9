#!/bin/bash
# A kernel called Easel with what the notebook imports, made by the first start and kept on the volume. Takes minutes,
# in the background: journalctl -u easel-kernel
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kernel=$HOME/SageMaker/kernel
if [ ! -x "$kernel/bin/python" ]; then
  "$HOME/anaconda3/bin/conda" create --yes --quiet --prefix "$kernel" python=3.12
fi
"$kernel/bin/python" -m pip install --quiet -r "$here/../requirements.txt"
"$kernel/bin/python" -m ipykernel install --user --name easel --display-name Easel
