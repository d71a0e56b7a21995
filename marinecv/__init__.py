"""marinecv: from a folder of wildlife images to a classifier whose score can be believed.

    manifest = mcv.locate("aquarium")
    catalog = mcv.read_catalog(manifest)
    train = mcv.make_dataset(catalog[catalog["split"] == "train"], spec, class_names, training=True)

Names are imported when they are first used, so that `import marinecv` is quick.
"""

import importlib

_WHERE = {
    "locate": "data.locate",
    "load_manifest": "data.manifests",
    "list_manifests": "data.manifests",
    "manifest_of_folder": "data.manifests",
    "Manifest": "data.manifests",
    "fetch": "data.download",
    "make_reef": "data.reef",
    "read_boxes": "data.catalog",
    "read_catalog": "data.catalog",
    "class_names_of": "data.catalog",
    "usable": "data.catalog",
    "limit_catalog": "data.catalog",
    "dominant_class": "data.labels",
    "ranked_classes": "data.labels",
    "split_catalog": "data.splits",
    "write_split": "data.splits",
    "read_split": "data.splits",
    "kfold": "data.folds",
    "read_attributes": "data.attributes",
    "class_mean_attributes": "data.attributes",
    "shuffled_attributes": "data.attributes",
    "MultimodalModel": "training.model_choice",
    "fold_metrics": "evaluation.folds",
    "attribute_scores": "evaluation.attribute_scores",
    "multimodal_classifier": "models.multimodal",
    "materialise": "data.materialise",
    "ImageSpec": "inputs.spec",
    "Augmentation": "inputs.spec",
    "RandomAffine": "inputs.augment",
    "load_pixels": "inputs.pixels",
    "read_pixels": "inputs.pixels",
    "make_dataset": "inputs.pipeline",
    "with_noise": "inputs.noise",
    "noisy_pixels": "inputs.noise",
    "synthesise": "inputs.synthesise",
    "cnn": "models.cnn",
    "backbone_classifier": "models.backbones",
    "BACKBONES": "models.backbones",
    "unet": "models.autoencoders",
    "dense_autoencoder": "models.autoencoders",
    "encoder_of": "models.autoencoders",
    "decoder_of": "models.autoencoders",
    "check_files": "audit.pictures",
    "explore": "audit.explore",
    "Recipe": "training.recipe",
    "DataChoice": "training.recipe",
    "ScratchModel": "training.model_choice",
    "BackboneModel": "training.model_choice",
    "UNet": "training.model_choice",
    "DenseAutoencoder": "training.model_choice",
    "Training": "training.recipe",
    "lint": "training.lint",
    "build_model": "training.build",
    "compile_model": "training.build",
    "callbacks": "training.callbacks",
    "load_run": "training.fit",
    "fit_recipe": "training.fit",
    "fit_autoencoder": "training.autoencode",
    "restoration_table": "evaluation.restoration",
    "restoration_metrics": "evaluation.restoration",
    "Run": "runs",
    "Study": "studies",
    "predict_table": "evaluation.predict",
    "read_predictions": "evaluation.predictions",
    "write_predictions": "evaluation.predictions",
    "classification_metrics": "evaluation.metrics",
    "per_class_metrics": "evaluation.metrics",
    "confusion": "evaluation.metrics",
    "confused_pairs": "evaluation.metrics",
    "worst_losses": "evaluation.metrics",
    "compare_runs": "evaluation.compare",
    "embed": "features.embeddings",
    "latent_points": "evaluation.latent",
    "latent_measures": "evaluation.latent",
    "cluster_table": "evaluation.latent",
    "nearest_images": "evaluation.latent",
    "neighbour_measures": "evaluation.latent",
    "linear_probe": "evaluation.probe",
    "Search": "search.folder",
    "run_trials": "search.loop",
    "heatmaps": "explain.heatmaps",
    "final_convolution": "explain.layers",
    "measure_boxes": "explain.in_box",
    "box_figures": "explain.figures",
    "export_model": "export.model",
    "measure_original": "export.model",
    "load_exported": "export.engines",
    "check_export": "export.certificate",
    "read_exports": "export.table",
    "curves": "report.figures",
    "confusion_figure": "report.figures",
    "image_grid": "report.figures",
    "latent_figure": "report.latent_figures",
    "write_latent_report": "report.latent_page",
    "write_run_report": "report.page",
    "write_study_report": "report.page",
    "write_search_report": "report.search_page",
}
__all__ = sorted(_WHERE)
__version__ = "0.1.0"


def __getattr__(name: str):
    if name not in _WHERE:
        raise AttributeError(f"module 'marinecv' has no attribute {name!r}")
    return getattr(importlib.import_module(f"marinecv.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_WHERE]
