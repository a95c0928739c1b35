// See angles.h. Power series, on ranges in which few terms are enough.
#include "model/keys/angles.h"

#define PI 3.14159265358979323846
#define HALF_PI_REST 6.123233995736766e-17 // what a double leaves of pi/2
#define TERMS_SINE 12
#define TERMS_ARC 24

// x - x^3/3! + x^5/5! ... for up to pi/4, as are cosines.
static double series_sin(double x) {
    double square = x * x, sum = 0;
    for (int i = TERMS_SINE; i > 0; i--) sum = -(square / (2 * i * (2 * i + 1))) * (1 + sum);
    return x + x * sum;
}

// 1 - x^2/2! + x^4/4! ...
static double series_cos(double x) {
    double square = x * x, sum = 0;
    for (int i = TERMS_SINE; i > 0; i--) sum = -(square / (2 * i * (2 * i - 1))) * (1 + sum);
    return 1 + sum;
}

static double from_right_angle(double x) {
    return PI / 2 - x + HALF_PI_REST;
}

double angle_sin(double radians) {
    double x = radians < 0 ? -radians : radians;
    if (x > PI / 2) x = PI - x + 2 * HALF_PI_REST;
    double sine = x <= PI / 4 ? series_sin(x) : series_cos(from_right_angle(x));
    return radians < 0 ? -sine : sine;
}

double angle_cos(double radians) {
    double x = radians < 0 ? -radians : radians;
    return x <= PI / 4 ? series_cos(x) : series_sin(from_right_angle(x));
}

// x + x^3/6 + 3x^5/40 ... for up to 1/2: each term is the one before * x^2 * (2i-1)^2 / (2i (2i+1)).
static double series_asin(double x) {
    double square = x * x, sum = 0;
    for (int i = TERMS_ARC; i > 0; i--) sum = square * ((2 * i - 1) * (2 * i - 1)) / (2 * i * (2 * i + 1)) * (1 + sum);
    return x + x * sum;
}

double angle_asin(double value) {
    if (value > 1) value = 1;
    if (value <= 0.5) return series_asin(value);
    return PI / 2 - 2 * series_asin(square_root((1 - value) / 2));
}

// Newton's steps from a power of two near by.
double square_root(double value) {
    double guess = 1;
    if (!(value > 0)) return 0;
    while (guess * guess > value) guess /= 2;
    while (guess * guess * 4 < value) guess *= 2;
    for (int i = 0; i < 7; i++) guess = (guess + value / guess) / 2;
    return guess;
}
