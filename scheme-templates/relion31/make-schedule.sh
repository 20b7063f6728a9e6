#!/bin/sh
# Builds Schedules/opus-dsd with RELION 3.1's own relion_scheduler: the Scheme of ../Schemes/opus-dsd for a RELION that has no Schemes.
#
# Run it in the project's folder:
#
#   sh make-schedule.sh [NAME=VALUE ...]
#
#   exe            the program: a name on the PATH or an absolute path (opus-dsd)
#   parts          particles of a refinement, there already or still to come (Refine3D/job019/run_data.star)
#   mask           solvent mask; empty: made from the map
#   zdim           latent dimensions (8)
#   clusters       clusters that analyse makes (10)
#   threads        threads of both jobs (4)
#   train_args     more options of opus-dsd train
#   analyse_args   more options of opus-dsd analyse
#   min_particles  fewer selected particles than this, and the Schedule ends after analyse (1000)
#   wait_sec       seconds between two looks for the refinement (60)
#   max_wait_sec   seconds after which it no longer waits (259200, three days)
#
# Then: relion_scheduler --schedule opus-dsd --run --pipeline_control Schedules/opus-dsd/
set -eu

schedule=opus-dsd
exe=opus-dsd
parts=Refine3D/job019/run_data.star
mask=
zdim=8
clusters=10
threads=4
train_args=
analyse_args=
min_particles=1000
wait_sec=60
max_wait_sec=259200
few=opus-dsd.TOO_FEW_PARTICLES
late=opus-dsd.NO_REFINEMENT_IN_TIME

fail() {
  echo "make-schedule.sh: $1" >&2
  exit 2
}

for word in "$@"; do
  name=${word%%=*}
  value=${word#*=}
  case $word in
    exe=*) exe=$value ;;
    parts=*) parts=$value ;;
    mask=*) mask=$value ;;
    zdim=*) zdim=$value ;;
    clusters=*) clusters=$value ;;
    threads=*) threads=$value ;;
    train_args=*) train_args=$value ;;
    analyse_args=*) analyse_args=$value ;;
    min_particles=*) min_particles=$value ;;
    wait_sec=*) wait_sec=$value ;;
    max_wait_sec=*) max_wait_sec=$value ;;
    *) fail "\`$name\`: unknown name; the head of this file lists them" ;;
  esac
done

command -v relion_scheduler >/dev/null || fail "relion_scheduler is not on the PATH: RELION 3.1 is needed, RELION 4 and 5 take Schemes/opus-dsd"
[ -e default_pipeline.star ] || fail "no default_pipeline.star here: run it in the folder of a RELION project"
[ ! -e "Schedules/$schedule" ] || fail "Schedules/$schedule is there already: remove it, or change its variables with relion_scheduler --set_var"
# RELION takes a value that begins like a number for one.
for text in "$exe" "$parts" "$mask"; do
  case $text in
    [0-9+.-]* | [iI][nN][fF]* | [nN][aA][nN]*) fail "\`$text\` would be taken for a number: give a path that begins with a letter or a slash" ;;
  esac
done

# relion_scheduler reads the job NAME from the file NAMEjob.star in the project's folder.
trap 'rm -f trainjob.star analysejob.star subsetjob.star' EXIT

# write_job NAME TYPE, option lines on stdin
write_job() {
  {
    printf '\n# version 30001\n\ndata_job\n\n_rlnJobType %s\n_rlnJobIsContinue 0\n \n' "$2"
    printf '\n# version 30001\n\ndata_joboptions_values\n\nloop_ \n_rlnJobOptionVariable #1 \n_rlnJobOptionValue #2 \n'
    cat
    printf ' \n'
  } > "$1job.star"
}

write_job train 99 <<'JOB'
fn_exe $$exe
in_part $$parts
in_mask $$mask
param1_label zdim
param1_value $$zdim
nr_threads $$threads
other_args $$train_args
do_queue No
JOB
write_job analyse 99 <<JOB
fn_exe "\$\$exe analyse"
in_part Schedules/$schedule/train/particles.star
param1_label clusters
param1_value \$\$clusters
nr_threads \$\$threads
other_args \$\$analyse_args
do_queue No
JOB
write_job subset 7 <<JOB
fn_data Schedules/$schedule/analyse/selected_particles.star
do_split Yes
do_random Yes
nr_split 2
do_queue No
JOB

add() {
  relion_scheduler --schedule "$schedule" --add "$@"
}

variable() {
  add variable --name "$1" --value "$2"
}

variable exe "$exe"
variable parts "$parts"
variable mask "$mask"
variable zdim "$zdim"
variable clusters "$clusters"
variable threads "$threads"
variable train_args "$train_args"
variable analyse_args "$analyse_args"
variable min_particles "$min_particles"
variable wait_sec "$wait_sec"
variable max_wait_sec "$max_wait_sec"
variable few "$few"
variable late "$late"
variable slash /
variable end_name /RELION_JOB_EXIT_SUCCESS
variable selected "Schedules/$schedule/analyse/selected_particles.star"
variable table particles
# Found by the Schedule.
variable folder undefined
variable mark undefined
variable waited 0
variable n_selected 0
variable has_parts False
variable has_mark False
variable too_late False
variable enough False

# RELION names the operators; the names stand in the edges below.
add operator --type string=before_last --i parts --i2 slash --o folder
add operator --type string=join --i folder --i2 end_name --o mark
add operator --type delete_file --i few
add operator --type delete_file --i late
add operator --type bool=file_exists --i parts --o has_parts
add operator --type bool=file_exists --i mark --o has_mark
add operator --type wait --i wait_sec
add operator --type float=plus --i waited --i2 wait_sec --o waited
add operator --type bool=gt --i waited --i2 max_wait_sec --o too_late
add operator --type touch_file --i late
add operator --type float=count_images --i selected --i2 table --o n_selected
add operator --type bool=ge --i n_selected --i2 min_particles --o enough
add operator --type touch_file --i few
add operator --type exit

add job --i train --mode continue
add job --i analyse --mode continue
add job --i subset --mode new

edge() {
  add edge --i "$1" --o "$2"
}

# fork FROM BOOLEAN IF_TRUE IF_FALSE
fork() {
  add fork --i "$1" --bool "$2" --o "$3" --o2 "$4"
}

edge folder=BEF_LAST_parts_slash mark=JOIN_folder_end_name
edge mark=JOIN_folder_end_name DELETE_few
edge DELETE_few DELETE_late
edge DELETE_late has_parts=EXISTS_parts
fork has_parts=EXISTS_parts has_parts has_mark=EXISTS_mark WAIT_wait_sec
fork has_mark=EXISTS_mark has_mark train WAIT_wait_sec
edge WAIT_wait_sec waited=waited_PLUS_wait_sec
edge waited=waited_PLUS_wait_sec too_late=waited_GT_max_wait_sec
fork too_late=waited_GT_max_wait_sec too_late TOUCH_late has_parts=EXISTS_parts
edge TOUCH_late EXIT
edge train analyse
edge analyse n_selected=COUNT_IMGS_selected_table
edge n_selected=COUNT_IMGS_selected_table enough=n_selected_GE_min_particles
fork enough=n_selected_GE_min_particles enough subset TOUCH_few
edge TOUCH_few EXIT
edge subset EXIT

echo "Schedules/$schedule is made. Run it with"
echo "  relion_scheduler --schedule $schedule --run --pipeline_control Schedules/$schedule/"
