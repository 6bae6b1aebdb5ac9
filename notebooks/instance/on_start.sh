#!/bin/bash
# SageMaker runs this at every start, as root, with a limit of five minutes. The idle stop is part of the lifecycle
# configuration: a file in ~/SageMaker could be changed by the notebook's user, and root runs it.
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
  echo "No Python of this instance has boto3, so an idle instance could not be stopped" >&2
  exit 1
fi
if [ "@HOURS@" != 0 ]; then
  systemd-run --unit=easel-idle --on-active=5min --on-unit-active=5min \
    "$python" "$folder/idle_stop.py" --hours "@HOURS@"
fi
systemd-run --unit=easel-kernel --uid=ec2-user --setenv=HOME=/home/ec2-user \
  bash /home/ec2-user/SageMaker/easel/notebooks/instance/kernel.sh "@NAME@"
