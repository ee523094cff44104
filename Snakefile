from pathlib import Path
import atexit
import logging
import sys

from snakemake.logging import logger as snakemake_logger
from snakemake.utils import min_version

min_version("9.27")
sys.path.insert(0, str(Path(workflow.basedir, "src")))
# Snakemake has imported the logger plug-in, and with it the installed package, which may be another copy than this one.
for name in [name for name in sys.modules if name.partition(".")[0] == "emoadapt"]:
    del sys.modules[name]
from emoadapt.machine.starting import collect_rarely

collect_rarely()
from emoadapt.study.check.passed import check_before_run
from emoadapt.config import merge_study, refuse_repeated_flag
from emoadapt.config.reading import DEMO_MEANT
from emoadapt.flow.records import ask_claims, refuse_other_records
from emoadapt.study.graph import open_study
from emoadapt.errors import EmoadaptError, explain_disk_error
from emoadapt.storage.disk import explain_full_disk, refuse_files, refuse_read_only
from emoadapt.machine.interruptions import explain_interruptions
from emoadapt.machine.outputs import (
    accept_early_outputs,
    leave_outputs_to_main_process,
)
from emoadapt.machine.owner import claim_results, refuse_other_study, supersede_runs
from emoadapt.machine.run import (
    begin_run,
    enter_folder,
    refuse_ended_run,
    refuse_unlocking,
)
from emoadapt.terminal.handlers import show_on_terminal
from emoadapt.terminal.wording import refuse, word_plainly

accept_early_outputs()
given = workflow.overwrite_configfiles, workflow.config_settings.config
try:
    ask_claims(workflow)
    if workflow.is_main_process:
        refuse_repeated_flag(sys.argv)
        refuse_files(Path.cwd())
        refuse_unlocking(Path.cwd(), sys.argv)
    else:
        refuse_ended_run()
        leave_outputs_to_main_process()
    # Read again, so that `emoadapt check` and this say the same of the same files.
    graph = open_study(
        merge_study(*given, built_in=Path(workflow.basedir, "config.yaml")),
        workflow.basedir,
    )
    if workflow.is_main_process:
        refuse_other_study(Path("results"), graph.study.study, chosen=any(given))
        check_before_run(graph)
        enter_folder(Path.cwd())
        explain_interruptions(snakemake_logger, Path.cwd())
        word_plainly(snakemake_logger)
        for note in (
            None if any(given) else DEMO_MEANT,
            graph.explain_missing_gpu(),
            graph.explain_missing_weights(),
        ):
            if note:
                print(note, file=sys.stderr)
except EmoadaptError as error:
    raise refuse(snakemake_logger, error)
except OSError as error:
    # Snakemake's own log may have no room either, which it would tell with a traceback for each line.
    logging.raiseExceptions = False
    raise refuse(snakemake_logger, explain_disk_error(error) or error)


report: "workflow/report/workflow.rst"


# `--resources gpu=1` means one GPU job at a time here, and is not a limit for a whole cluster.
resource_scopes:
    gpu="local",


include: "rules/common.smk"
include: "rules/corpora.smk"
include: "rules/features.smk"
include: "rules/targets.smk"
include: "rules/train.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        "results/report/index.html",
        "results/quarantine.parquet",
        graph.extra_features(),


# Snakemake packs what is there, whatever it was made from.
if any(word.partition("=")[0] == "--report" for word in sys.argv):
    try:
        origins.refuse_others(rules.report.output)
    except EmoadaptError as error:
        raise refuse(snakemake_logger, error)


if workflow.is_main_process:
    show_on_terminal(
        snakemake_logger,
        {rule.name: Path(rule.snakefile).stem for rule in workflow.rules},
        workflow.output_settings,
    )


onstart:
    try:
        refuse_read_only(Path("results"))
        refuse_other_records(workflow)
        graph.refuse_missing_weights()
        if workflow.local_exec and any(
            job.resources.get("gpu") for job in workflow.dag.needrun_jobs()
        ):
            graph.refuse_missing_gpu()
        begin_run(Path.cwd(), STUDY.study)
        if adopted := claim_results(Path("results"), STUDY.study):
            # Nothing is moved yet: the results may be another study's.
            print(adopted, file=sys.stderr)
        else:
            for folder in supersede_runs(
                Path("results"), [*graph.run_folders(), *graph.left_out_folders()]
            ):
                print(
                    f"{folder} is not part of this study any more: moved to results/superseded",
                    file=sys.stderr,
                )
    except EmoadaptError as error:
        raise refuse(snakemake_logger, error)
    except OSError as error:
        raise refuse(snakemake_logger, explain_disk_error(error) or error)


onsuccess:
    # Not where single files were asked for.
    if any(job.rule.name == "report" for job in workflow.dag.jobs):
        print(
            "The report: results/report/index.html   tables: results/tables/   figures: results/figures/"
        )
        from emoadapt.reporting.kept import announce_best

        # At the exit of the process, below what Snakemake prints last.
        if lines := list(announce_best(STUDY, Path("results"))):
            atexit.register(print, *lines, sep="\n")


# What the failed job said of it is lost with its log, which lies on the same disk.
onerror:
    if sentence := explain_full_disk(Path.cwd(), Path("results")):
        print(sentence, file=sys.stderr)
