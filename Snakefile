from pathlib import Path
import logging
import sys

from snakemake.utils import min_version

min_version("9.27")
sys.path.insert(0, str(Path(workflow.basedir, "src")))
from emoadapt.dag import open_study
from emoadapt.errors import EmoadaptError, explain_disk_error
from emoadapt.flow.disk import explain_full_disk, refuse_read_only
from emoadapt.flow.lock import claim_locks, clear_stale_locks

# A configuration that names its study stands alone; any other overrides the demo, key by key.
if "study" not in config:

    configfile: Path(workflow.basedir, "config.yaml")


try:
    graph = open_study(config, workflow.basedir)
    if workflow.is_main_process:
        graph.list_corpora()
        clear_stale_locks(Path.cwd())
        if missing := graph.explain_missing_weights():
            print(missing, file=sys.stderr)
except EmoadaptError as error:
    raise WorkflowError(error)
except OSError as error:
    # Snakemake's own log may have no room either, which it would tell with a traceback for each line.
    logging.raiseExceptions = False
    raise WorkflowError(explain_disk_error(error) or error)


report: "workflow/report/workflow.rst"


# `--resources gpu=1` means one GPU job at a time here, and is not a limit for a whole cluster.
resource_scopes:
    gpu="local",


include: "rules/common.smk"
include: "rules/corpora.smk"
include: "rules/media.smk"
include: "rules/face.smk"
include: "rules/speech.smk"
include: "rules/text.smk"
include: "rules/targets.smk"
include: "rules/adapt.smk"
include: "rules/finetune.smk"
include: "rules/evaluate.smk"
include: "rules/report.smk"


rule all:
    default_target: True
    input:
        "results/report/index.html",
        "results/quarantine.parquet",
        graph.extra_features(),


onstart:
    try:
        refuse_read_only(Path("results"))
        graph.refuse_missing_weights()
        claim_locks(Path.cwd())
    except EmoadaptError as error:
        raise WorkflowError(error)


onsuccess:
    print(
        "The report: results/report/index.html   tables: results/tables/   figures: results/figures/"
    )


# What the failed job said of it is lost with its log, which lies on the same disk.
onerror:
    if sentence := explain_full_disk(Path.cwd(), Path("results")):
        print(sentence, file=sys.stderr)
