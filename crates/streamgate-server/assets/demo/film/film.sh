#!/bin/sh
# Makes the film of the demo: 24 seconds at 640x360, the sun over three ranges of hills.
set -eu
cd "$(dirname "$0")"
# Heights of the hills, nearer ones move faster; then the sun's way.
far='(205+22*sin((X+T*10)/71)+9*sin((X+T*10)/29))'
mid='(250+26*sin((X+T*25)/97+2)+8*sin((X+T*25)/23))'
near='(300+24*sin((X+T*60)/83+4)+7*sin((X+T*60)/31))'
sun='lt(hypot(X-40-T*23.5,Y-190+110*sin(PI*T/24)),34)'
layers() { # near, middle, far, sun, top of the sky, more at the horizon
  echo "if(gt(Y,$near),$1,if(gt(Y,$mid),$2,if(gt(Y,$far),$3,if($sun,$4,$5+($6)*Y/260))))"
}
ffmpeg -v error -y \
  -f lavfi -i "color=black:s=640x360:r=25:d=24,format=gbrp,geq=r='$(layers 24 58 104 255 38 205)':g='$(layers 26 48 78 214 42 110)':b='$(layers 46 82 112 140 92 40)',
drawtext=fontfile=/usr/share/fonts/truetype/dejavu/DejaVuSansMono.ttf:text='%{pts\:gmtime\:0\:%M\\\\\:%S}':fontcolor=white@0.8:fontsize=28:x=w-tw-20:y=h-th-16" \
  -f lavfi -i "sine=f=196:r=48000:d=24,volume=0.12,tremolo=f=0.25:d=0.7" \
  -c:v libx264 -profile:v main -preset veryslow -crf 27 -pix_fmt yuv420p \
  -g 100 -keyint_min 100 -sc_threshold 0 -c:a aac -b:a 32k -ac 1 \
  -hls_time 4 -hls_playlist_type vod -hls_segment_type fmp4 \
  -hls_fmp4_init_filename init.mp4 -hls_segment_filename film%d.m4s film.m3u8
