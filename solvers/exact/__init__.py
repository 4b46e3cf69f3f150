"""The relaxation that is solved exactly, and what packs its answer into cores."""
