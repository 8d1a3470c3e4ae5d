#!/bin/sh
# Trains every set of weights that the package ships: sh train_packaged.sh NSL-KDD-FOLDER OUTPUT-FOLDER [PROCESSES]
# One thread a process. The three seeds of autoenc-5 on NSL-KDD take most of the time.
# Columns: network, data, kind in the file name, seed, epochs, peak learning rate, training windows (0: all).
set -eu
data=$1
out=$2
processes=${3:-2}
export OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
while read -r network source kind seed epochs rate windows; do
    [ "$source" = nslkdd ] && source=$data
    echo "train $network --data $source --seed $seed --epochs $epochs --learning-rate $rate --windows $windows" \
        "--threads 1 --quiet --force -o $out/$network.$kind.$seed.npz"
done <<'JOBS' | nice -n 19 xargs -P "$processes" -I{} sh -c 'lstmsim {}'
autoenc-1 nslkdd nslkdd 0 60 0.003 0
autoenc-5 nslkdd nslkdd 0 40 0.002 0
autoenc-5 nslkdd nslkdd 1 40 0.002 0
autoenc-1 synthetic synthetic 0 20 0.003 0
autoenc-5 synthetic synthetic 0 6 0.002 6000
lstm-dense bokeh:sst sst 0 6 0.002 4000
lstm-cell bokeh:stocks stocks 0 3 0.001 2500
lstm-dense synthetic synthetic 0 4 0.002 4000
lstm-cell synthetic synthetic 0 2 0.001 2000
autoenc-2 synthetic synthetic 0 40 0.003 4000
autoenc-3 synthetic synthetic 0 120 0.01 4000
autoenc-4 synthetic synthetic 0 120 0.01 4000
autoenc-2 nslkdd nslkdd 0 60 0.003 0
autoenc-5 nslkdd nslkdd 2 40 0.002 0
JOBS
