#!/bin/bash
# A template for RELION's queue tab (SLURM) that suits External jobs. RELION puts the bare command in place of the line that names it, so
# nothing else may stand on that line, and what sends the output to run.out and run.err is around it.
# `Queue name` is the partition, `Queue submit command` is sbatch. Set the number of GPUs and the time to those of your site.
#SBATCH --job-name=opus-dsd
#SBATCH --partition=XXXqueueXXX
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --cpus-per-task=XXXthreadsXXX
#SBATCH --gres=gpu:1
#SBATCH --time=2-00:00:00
#SBATCH --output=XXXoutfileXXX.slurm
#SBATCH --error=XXXerrfileXXX.slurm
# Two minutes before the end this script is told, and tells the job, which leaves a checkpoint: `Continue!` goes on from there.
#SBATCH --signal=B:USR1@120

cd "${SLURM_SUBMIT_DIR:-.}" || exit 1
{
trap '' USR1
XXXcommandXXX
} >> XXXoutfileXXX 2>> XXXerrfileXXX &
job=$!
trap 'trap "" TERM; kill -TERM 0' USR1
wait "$job" || wait "$job"
