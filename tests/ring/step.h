/* In the kill test every instrumented step of the core calls the test, which may end the program there. */
#ifndef TINCANS_STEP_H
#define TINCANS_STEP_H

void ring_step(int number);
#define RING_STEP(number) ring_step(number)

#endif
