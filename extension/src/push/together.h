/*-------------------------------------------------------------------------
 *
 * together.h
 *	  Changes that can only be carried out together.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TIDE_TOGETHER_H
#define TIDE_TOGETHER_H

#include "push/change.h"

/*
 * Carry out what has failed by itself and that deferrable constraints tie
 * together.  What still fails keeps its failure.
 */
extern void together_try(Push *push, List *failed);

#endif							/* TIDE_TOGETHER_H */
