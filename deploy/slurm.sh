#!/bin/sh
# 1,000 samples over 8 tasks, each writing its share of one numbered stream:
#   sbatch deploy/slurm.sh
# A task that is started again goes on where it was: --resume keeps what its file holds.
#SBATCH --job-name=gpt2-samples
#SBATCH --array=1-8
#SBATCH --cpus-per-task=4
#SBATCH --mem=2G
#SBATCH --requeue
set -eu
out="${OUT:-samples}"
mkdir -p "$out"
exec gpt2 unconditional --model_name "${MODEL:-117M}" --seed 1 --nsamples "${NSAMPLES:-1000}" \
  --threads "${SLURM_CPUS_PER_TASK:-4}" \
  --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" \
  --resume "$out/samples-$SLURM_ARRAY_TASK_ID.jsonl"
