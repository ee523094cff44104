"""Interface of a training method.

A method is a module here, or in the folder `methods` of a study's own plug-ins, with

* `SCOPE`, a literal: `"study"` for a training without labels, which all tasks share and which a study names under
  `adaptations`; `"run"` for trainings on a task, which a study names under `finetunings`;
* `Config`: its section, a subclass of `config.training.Adaptation` or `config.training.Finetuning` whose key `method` is the
  module's name. Its class variables say what the graph asks: `questions`, `deterministic`, `frozen`, `reads_clips`, and
  `upstream_keys` and `upstream_table` where it needs other models;
* `train(job)`: does a job, an `AdaptationJob` or a `TaskJob` of `emoadapt.training.jobs`, and writes all of its outputs;
* optionally `NOTE`, a literal: a footnote below tables that show scores of the method.

The top of the module imports `emoadapt.config` and the standard library only, since every command reads the sections; heavy libraries are
imported in `train`. The digest of a job's code follows these imports, and so do the versions of libraries (docs/plugins.md).
"""
