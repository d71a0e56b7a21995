"""The public names: type checkers read them here, and `__init__.py` imports each when it is first used."""

# Find, read and split a data set
from marinecv.data.locate import locate as locate
from marinecv.data.download import fetch as fetch
from marinecv.data.manifests import load_manifest as load_manifest, list_manifests as list_manifests
from marinecv.data.manifests import manifest_of_folder as manifest_of_folder, Manifest as Manifest
from marinecv.data.reef import make_reef as make_reef
from marinecv.data.user_catalog import catalog_of as catalog_of
from marinecv.data.catalog import read_boxes as read_boxes, read_catalog as read_catalog
from marinecv.data.catalog import class_names_of as class_names_of, limit_catalog as limit_catalog
from marinecv.data.user_tables import usable as usable
from marinecv.data.labels import dominant_class as dominant_class, ranked_classes as ranked_classes
from marinecv.data.splits import split_catalog as split_catalog, write_split as write_split, read_split as read_split
from marinecv.data.splits import keep_split as keep_split
from marinecv.data.held import calibration_rows as calibration_rows
from marinecv.data.folds import kfold as kfold
from marinecv.data.groups import group_catalog as group_catalog, relatives_in_train as relatives_in_train
from marinecv.data.attributes import read_attributes as read_attributes, class_mean_attributes as class_mean_attributes
from marinecv.data.attributes import shuffled_attributes as shuffled_attributes
from marinecv.data.materialise import materialise as materialise

# Audit it
from marinecv.audit.explore import explore as explore
from marinecv.audit.examine import audit_images as audit_images
from marinecv.audit.quality import measure_quality as measure_quality
from marinecv.audit.judge import list_findings as list_findings
from marinecv.audit.thumbs import load_thumbs as load_thumbs
from marinecv.audit.links import find_links as find_links
from marinecv.audit.copies import near_copies as near_copies
from marinecv.audit.leak import thumbnail_votes as thumbnail_votes
from marinecv.evaluation.leaks import leak_index as leak_index

# Make pixels and datasets of it
from marinecv.inputs.spec import ImageSpec as ImageSpec, Augmentation as Augmentation
from marinecv.inputs.epochs import EpochCounter as EpochCounter
from marinecv.inputs.pixels import load_pixels as load_pixels, read_pixels as read_pixels
from marinecv.inputs.rgb import find_white as find_white
from marinecv.inputs.pipeline import make_dataset as make_dataset
from marinecv.inputs.noise import with_noise as with_noise, noisy_pixels as noisy_pixels
from marinecv.inputs.synthesise import synthesise as synthesise

# Build models
from marinecv.models.cnn import cnn as cnn
from marinecv.models.backbones import backbone_features as backbone_features, backbone_classifier as backbone_classifier
from marinecv.models.backbones import BACKBONES as BACKBONES
from marinecv.models.multimodal import multimodal_classifier as multimodal_classifier
from marinecv.models.autoencoders import unet as unet, dense_autoencoder as dense_autoencoder, encoder_of as encoder_of
from marinecv.models.autoencoders import decoder_of as decoder_of

# Train
from marinecv.training.recipe import Recipe as Recipe, DataChoice as DataChoice
from marinecv.training.model_choice import ScratchModel as ScratchModel, BackboneModel as BackboneModel
from marinecv.training.model_choice import MultimodalModel as MultimodalModel, UNet as UNet
from marinecv.training.model_choice import DenseAutoencoder as DenseAutoencoder
from marinecv.training.recipe import Training as Training
from marinecv.training.lint import lint as lint
from marinecv.training.build import build_model as build_model, compile_model as compile_model
from marinecv.training.callbacks import callbacks as callbacks
from marinecv.training.fit import load_run as load_run, fit_recipe as fit_recipe
from marinecv.workflows.train import train as train, grid as grid, autoencode as autoencode
from marinecv.workflows.resume import resume as resume
from marinecv.training.autoencode import fit_autoencoder as fit_autoencoder
from marinecv.training.distribution import distributed as distributed
from marinecv.runs import Run as Run
from marinecv.studies import Study as Study
from marinecv.looks import looks_at_test as looks_at_test
from marinecv.search.folder import Search as Search
from marinecv.search.engines import open_engine as open_engine
from marinecv.search.loop import run_trials as run_trials

# Score and compare
from marinecv.evaluation.predict import predict_table as predict_table
from marinecv.workflows.evaluate import evaluate as evaluate
from marinecv.workflows.compare import compare as compare
from marinecv.evaluation.own_model import run_of_model as run_of_model
from marinecv.evaluation.predictions import make_table as make_table, read_predictions as read_predictions
from marinecv.evaluation.predictions import write_predictions as write_predictions
from marinecv.evaluation.metrics import classification_metrics as classification_metrics
from marinecv.evaluation.metrics import per_class_metrics as per_class_metrics, confusion as confusion
from marinecv.evaluation.metrics import confused_pairs as confused_pairs, worst_losses as worst_losses
from marinecv.evaluation.leaks import honest_scores as honest_scores
from marinecv.evaluation.folds import fold_metrics as fold_metrics
from marinecv.evaluation.compare import compare_runs as compare_runs
from marinecv.evaluation.seeds import compare_seeds as compare_seeds, seed_spread as seed_spread
from marinecv.evaluation.published import counts_behind as counts_behind
from marinecv.evaluation.attribute_scores import attribute_scores as attribute_scores
from marinecv.evaluation.restoration import restoration_table as restoration_table
from marinecv.evaluation.restoration import restoration_metrics as restoration_metrics

# Judge how far to trust a prediction
from marinecv.evaluation.calibration import calibrated as calibrated, fit_temperature as fit_temperature
from marinecv.evaluation.calibration import reliability_table as reliability_table
from marinecv.evaluation.conformal import set_threshold as set_threshold, prediction_sets as prediction_sets
from marinecv.evaluation.conformal import coverage_range as coverage_range
from marinecv.evaluation.review import doubts as doubts, triage_curve as triage_curve
from marinecv.features.distance import fit_distance as fit_distance, distances as distances

# Look into a model
from marinecv.workflows.explain import explain as explain
from marinecv.workflows.latent import latent as latent
from marinecv.features.embeddings import embed as embed
from marinecv.evaluation.latent import latent_points as latent_points, latent_measures as latent_measures
from marinecv.evaluation.latent import cluster_table as cluster_table, nearest_images as nearest_images
from marinecv.evaluation.latent import neighbour_measures as neighbour_measures
from marinecv.evaluation.probe import linear_probe as linear_probe
from marinecv.explain.heatmaps import heatmaps as heatmaps
from marinecv.explain.layers import final_convolution as final_convolution
from marinecv.explain.in_box import neutral_colour as neutral_colour, measure_boxes as measure_boxes
from marinecv.explain.figures import box_figures as box_figures

# Export it
from marinecv.export.model import export_model as export_model, measure_original as measure_original
from marinecv.export.engines import load_exported as load_exported
from marinecv.export.certificate import check_export as check_export
from marinecv.export.table import read_exports as read_exports

# Draw and report
from marinecv.report.figures import curves as curves, confusion_figure as confusion_figure, image_grid as image_grid
from marinecv.report.figures import save_png as save_png
from marinecv.report.latent_figures import latent_figure as latent_figure
from marinecv.report.page import write_run_report as write_run_report, write_study_report as write_study_report
from marinecv.report.search_page import write_search_report as write_search_report
from marinecv.report.latent_page import write_latent_report as write_latent_report

__version__: str
