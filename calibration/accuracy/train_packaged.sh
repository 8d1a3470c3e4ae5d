#!/bin/sh
# Trains every set of weights that the package ships: sh train_packaged.sh NSL-KDD-FOLDER OUTPUT-FOLDER [PROCESSES]
# One thread a process; several hours of one core in all are the weights of lstm-cell and the three seeds of autoenc-5.
set -eu
data=$1
out=$2
processes=${3:-2}
export OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1
while read -r network source kind seed epochs rate; do
    [ "$source" = nslkdd ] && source=$data
    echo "train $network --data $source --seed $seed --epochs $epochs --learning-rate $rate --threads 1 --quiet --force -o $out/$network.$kind.$seed.npz"
done <<'JOBS' | nice -n 19 xargs -P "$processes" -I{} sh -c 'lstmsim {}'
autoenc-1 nslkdd nslkdd 0 60 0.003
autoenc-5 nslkdd nslkdd 0 20 0.002
autoenc-5 nslkdd nslkdd 1 20 0.002
autoenc-5 nslkdd nslkdd 2 20 0.002
autoenc-2 nslkdd nslkdd 0 60 0.003
lstm-dense bokeh:sst sst 0 5 0.002
lstm-cell bokeh:stocks stocks 0 4 0.001
autoenc-1 synthetic synthetic 0 30 0.003
autoenc-2 synthetic synthetic 0 30 0.003
autoenc-5 synthetic synthetic 0 8 0.002
lstm-dense synthetic synthetic 0 4 0.002
autoenc-3 synthetic synthetic 0 20 0.003
autoenc-4 synthetic synthetic 0 15 0.002
lstm-cell synthetic synthetic 0 2 0.001
JOBS
