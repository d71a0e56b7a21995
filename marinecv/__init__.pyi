"""The public names, by task: type checkers read them here, and `__init__.py` imports each when it is first used."""

# What people ask for: docs/api.md
from marinecv.workflows.train import train as train, grid as grid, autoencode as autoencode
from marinecv.workflows.resume import resume as resume, write_report as write_report
from marinecv.workflows.search import search as search, Search as Search
from marinecv.workflows.learning_curve import learning_curve as learning_curve, LearningCurve as LearningCurve
from marinecv.workflows.reproduce import reproduce as reproduce
from marinecv.workflows.run import Run as Run, Experiment as Experiment
from marinecv.workflows.evaluate import evaluate as evaluate
from marinecv.workflows.compare import compare as compare
from marinecv.workflows.ensemble import ensemble as ensemble
from marinecv.workflows.predict import predict as predict
from marinecv.workflows.sort_into import undo_sort as undo_sort
from marinecv.workflows.review import review as review
from marinecv.review.folder import ReviewFolder as ReviewFolder
from marinecv.workflows.estimate import estimate as estimate
from marinecv.workflows.explain import explain as explain
from marinecv.workflows.latent import latent as latent
from marinecv.workflows.export import export as export
from marinecv.workflows.audit import audit as audit
from marinecv.workflows.label_errors import label_errors as label_errors
from marinecv.workflows.describe import describe as describe

# Find, read and split a data set
from marinecv.data.find_data import find_data as find_data, demo_images as demo_images
from marinecv.data.manifests import load_manifest as load_manifest, Manifest as Manifest
from marinecv.data.user_catalog import catalog_of as catalog_of
from marinecv.data.catalog import read_boxes as read_boxes, read_catalog as read_catalog
from marinecv.data.catalog import class_names_of as class_names_of
from marinecv.data.crops import crop_catalog as crop_catalog
from marinecv.data.labels import dominant_class as dominant_class
from marinecv.data.splits.split_catalog import split_catalog as split_catalog
from marinecv.audit.pairs import find_pairs as find_pairs

# Make pixels and datasets of it
from marinecv.inputs.spec import ImageSpec as ImageSpec, Augmentation as Augmentation
from marinecv.inputs.pixel_cache import load_pixels as load_pixels, read_pixels as read_pixels
from marinecv.inputs.pipeline import make_dataset as make_dataset

# Build and train a model
from marinecv.training.recipe import Recipe as Recipe, DataConfig as DataConfig, Training as Training
from marinecv.training.model_config import ScratchModel as ScratchModel, BackboneModel as BackboneModel
from marinecv.training.build import build_model as build_model, compile_model as compile_model
from marinecv.models.cnn import cnn as cnn
from marinecv.models.backbones import backbone_classifier as backbone_classifier
from marinecv.models.backbone_table import backbones_table as backbones_table
from marinecv.training.callbacks import callbacks as callbacks

# Score it and look into it
from marinecv.evaluation.predict import predict_table as predict_table
from marinecv.evaluation.predictions import make_table as make_table, read_predictions as read_predictions
from marinecv.evaluation.metrics import classification_metrics as classification_metrics
from marinecv.evaluation.metrics import per_class_metrics as per_class_metrics, confusion as confusion
from marinecv.evaluation.events import events_of as events_of
from marinecv.evaluation.calibration import calibrated as calibrated
from marinecv.evaluation.photos import photo_table as photo_table
from marinecv.explain.heatmaps import heatmaps as heatmaps

# Draw
from marinecv.report.figures import curves as curves, confusion_figure as confusion_figure
from marinecv.report.figures import save_png as save_png

__version__: str
