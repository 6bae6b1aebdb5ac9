#!/bin/bash
# SageMaker runs this at every start, as root, and gives it five minutes. The idle stop comes from the lifecycle
# configuration and not from ~/SageMaker, where whoever uses the notebook could change what root runs.
set -euo pipefail
folder=@FOLDER@
mkdir -p "$folder"
cat > "$folder/idle_stop.py" <<'PYTHON'
@IDLE_STOP@
PYTHON
for python in /home/ec2-user/anaconda3/envs/JupyterSystemEnv/bin/python /home/ec2-user/anaconda3/bin/python python3; do
  if "$python" -c 'import boto3' 2> /dev/null; then break; fi
  python=
done
if [ -z "$python" ]; then
  echo "No Python here has boto3, so nothing could stop an idle instance" >&2
  exit 1
fi
if [ "@HOURS@" != 0 ]; then
  systemd-run --unit=easel-idle --on-active=5min --on-unit-active=5min \
    "$python" "$folder/idle_stop.py" --hours "@HOURS@"
fi
systemd-run --unit=easel-kernel --uid=ec2-user --setenv=HOME=/home/ec2-user \
  bash /home/ec2-user/SageMaker/easel/notebooks/instance/kernel.sh
