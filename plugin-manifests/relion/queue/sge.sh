#!/bin/bash
# A template for RELION's queue tab (SGE and its kin) that suits External jobs. RELION puts the bare command in place of the line that names
# it, so nothing else may stand on that line, and what sends the output to run.out and run.err is around it.
# `Queue name` is the queue, `Queue submit command` is qsub. Set parallel environment, GPU and time to those of your site.
#$ -N opus-dsd
#$ -q XXXqueueXXX
#$ -pe smp XXXthreadsXXX
#$ -l gpu=1
#$ -l h_rt=48:00:00
#$ -cwd
#$ -S /bin/bash
#$ -o XXXoutfileXXX.sge
#$ -e XXXerrfileXXX.sge
# Before the end SIGUSR2 comes to this script, and SIGTERM to the job, which leaves a checkpoint: `Continue!` goes on from there.
#$ -notify

cd "${SGE_O_WORKDIR:-.}" || exit 1
{
trap '' USR1 USR2
XXXcommandXXX
} >> XXXoutfileXXX 2>> XXXerrfileXXX &
job=$!
trap 'trap "" TERM; kill -TERM 0' USR2
wait "$job" || wait "$job"
