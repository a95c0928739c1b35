// Sine, cosine, arc sine and square root out of + - * / alone: the same bits on every CPU, to about 1 part in 10^15.
#pragma once

double angle_sin(double radians); // -pi .. pi
double angle_cos(double radians); // -pi/2 .. pi/2
double angle_asin(double value);  // 0 .. 1
double square_root(double value); // >= 0
