#!/bin/bash
#SBATCH --job-name=mnist_course
#SBATCH --nodes=2                  # machines
#SBATCH --ntasks-per-node=1        # one torchrun on each; it starts the processes
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=16
#SBATCH --time=00:30:00
set -euo pipefail

export FASTAI_HOME="$HOME/.fastai"  # on a disk that all machines see, fetched beforehand
export OMP_NUM_THREADS=4
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 10000))

srun torchrun \
  --nnodes "$SLURM_NNODES" --nproc-per-node 4 --max-restarts 2 \
  --rdzv-id "$SLURM_JOB_ID" --rdzv-backend c10d --rdzv-endpoint "$first:$port" \
  -m mnist_course train resnet18_long \
  --checkpoint "$HOME/digits.place" --save "$HOME/digits.model"
