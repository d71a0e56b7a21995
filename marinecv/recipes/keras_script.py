"""Write a recipe as a Keras script without marinecv: the same data pipeline, model and training."""

import json
import re
from textwrap import indent

from marinecv.choices import WEIGHTS
from marinecv.inputs.spec import NONE, Augmentation
from marinecv.models.backbone_table import backbone_entry, backbone_path
from marinecv.schema import check_type
from marinecv.training.model_config import ModelConfigs
from marinecv.training.recipe import Recipe

SCRIPT = '''"""{title}

The recipe {name} of marinecv in plain Keras.
Run:  python SCRIPT.py CATALOG.csv{second}
The CSV has the columns path, split (train, validation, test) and class_name, like the catalog.csv of a run.
"""

import sys

import keras
import pandas as pd
import tensorflow as tf
from keras import layers

HEIGHT, WIDTH, BATCH_SIZE = {height}, {width}, {batch_size}
keras.utils.set_random_seed({seed})
catalog = pd.read_csv(sys.argv[1], dtype=str, keep_default_na=False)
if "problem" in catalog:  # why an image cannot be used
    catalog = catalog[catalog["problem"] == ""]
{tables}

def load(path):
    """Decode an image, {pad_words}and resize it."""
    # marinecv also applies EXIF orientation, and reads what is no JPEG, PNG or GIF.
    image = tf.io.decode_jpeg(tf.io.read_file(path), channels=3, dct_method="INTEGER_ACCURATE")
{pad}    image = tf.image.resize(image, (HEIGHT, WIDTH), antialias={antialias})
    return tf.cast(tf.round(image), tf.uint8)


{functions}def dataset(split, training=False):
    """Return batches of a split: {batches}."""
    rows = catalog[catalog["split"] == split]
{columns}    data = tf.data.Dataset.from_tensor_slices((list(rows["path"]){labels}))
    data = data.map(lambda path{labels}: (load(path){labels}), num_parallel_calls=tf.data.AUTOTUNE).cache()
    if training:
        data = {shuffle}
    data = data.batch(BATCH_SIZE).map(lambda images{labels}: (tf.cast(images, tf.float32){labels}))
{ending}    return data.prefetch(2)


pixels = keras.Input((HEIGHT, WIDTH, 3))  # from 0 to 255
{model}
model = keras.Model({inputs}, outputs)

train, validation = dataset("train", training=True), dataset("validation")
callbacks = [
    keras.callbacks.TerminateOnNaN(),
{callbacks}
]
{fit}
for split in ("validation", "test"):
    if (catalog["split"] == split).any():
        print(split, model.evaluate(dataset(split), return_dict=True, verbose=0))
'''
CLASSES = 'class_names = sorted(set(catalog["class_name"]) - {""})\n'
LABELS = '    labels = tf.one_hot([class_names.index(name) for name in rows["class_name"]], len(class_names))\n'
ATTRIBUTES = 'attributes = pd.read_csv(sys.argv[2], dtype={"image_id": str}).set_index("image_id")\n'
ATTRIBUTE_VALUES = '    attr = attributes.loc[rows["image_id"]].to_numpy("float32")\n'
PAIR_FUNCTION = '''def pair(images):
    """Return images with salt-and-pepper noise, and the clean images in the output range of the network."""
    chance = tf.random.uniform((tf.shape(images)[0], HEIGHT, WIDTH, 1))
    noisy = tf.where(chance < {salt}, 255.0, tf.where(chance >= 1 - {pepper}, 0.0, images))
    return noisy, {target}


'''
MOVE_FUNCTION = '''# marinecv uses the same bounds and interpolates once.
rotate = layers.RandomRotation({turn}, fill_mode="constant")
zoom = layers.RandomZoom(({zoom_in}, {zoom_out}), fill_mode="constant")


def move(image, copy):
    """Return copy 0 unchanged, and other copies changed by one of flip, rotation and zoom."""
    image, which = tf.cast(image, tf.float32), {which}
    moved = [tf.image.flip_left_right, lambda each: rotate(each, training=True), lambda each: zoom(each, training=True)]
    return tf.switch_case(which, [lambda: image, *(lambda by=by: by(image) for by in moved)])


'''
CONVOLVE_FUNCTION = '''def convolve(x, filters):
    """Apply convolutions of 3x3 with ReLU."""
    for _ in range({convolutions}):
        x = layers.Conv2D(filters, 3, padding="same", use_bias={bias})(x)
{norm}        x = layers.ReLU()(x)
    return x


'''
NORMALIZATION_LAYERS = {  # Keras layers for each function of `marinecv.models.normalize`
    "standardize": "layers.LayerNormalization(axis=[1, 2, 3], center=False, scale=False, epsilon=1e-6)(pixels)",
    "unit": "layers.Rescaling(1 / 255)(pixels)",
    "imagenet": "layers.Rescaling(1 / 255)(pixels)\n"
    "x = layers.Normalization(mean=(0.485, 0.456, 0.406), variance=(0.229**2, 0.224**2, 0.225**2))(x)",
    "signed": "layers.Rescaling(1 / 127.5, offset=-1.0)(pixels)",
    "bgr": "keras.ops.flip(pixels, -1)  # blue, green, red\n"
    "x = layers.Normalization(mean=(103.939, 116.779, 123.68), variance=(1.0, 1.0, 1.0))(x)",
    "0..255": "pixels  # the network rescales inside",
}
POOLS = {"avg": ["GlobalAveragePooling2D"], "max": ["GlobalMaxPooling2D"], "flatten": ["Flatten"]}
POOLS["avg_max"] = POOLS["avg"] + POOLS["max"]
METRICS = {name: f'keras.metrics.{name.title()}(name="{name}")' for name in ("precision", "recall")}
OPTIMIZERS = {"rmsprop": "RMSprop", "adam": "Adam", "adamw": "AdamW", "sgd": "SGD"}


def keras_script(recipe: Recipe) -> str:
    """Return a Keras script of a recipe: its data pipeline, its model layer by layer, its training and evaluation.

    The script takes a CSV with the columns `path`, `split` and `class_name`, such as the `catalog.csv` of a run, and
    for some models `attributes.csv` or `encoder.keras`. Raises ValueError for settings that it cannot express.
    """
    check_type(Recipe, recipe=recipe)
    backbone = getattr(recipe.model, "backbone", "")
    hidden = {
        "model.backbone to a file": backbone_path(backbone),
        "model.trainable_layers of a ConvNeXt": "convnext" in backbone and getattr(recipe.model, "trainable_layers", 0),
        "model.variational": getattr(recipe.model, "variational", False),
        "data.crops": recipe.data.crops is not None,
        "training.head_l2": recipe.training.head_l2,
        "training.balanced": recipe.training.balanced,
        "training.mixed_precision": recipe.training.mixed_precision,
        "training.augmentation.mixup or cutmix": (recipe.training.augmentation or NONE).mixes,
        "image.white": recipe.image.white not in (None, 255),
    }
    if names := [name for name, is_set in hidden.items() if is_set]:
        raise ValueError(f"{recipe.name} sets {' and '.join(names)}, which a short Keras script cannot express.")
    title, name = (" ".join(text.split()).replace("\\", "/").replace('"', "'") for text in (recipe.title, recipe.name))
    parts = {"title": title, "name": name, **_data(recipe), **_model(recipe), **_training(recipe)}
    return re.sub("\n{4,}", "\n\n\n", SCRIPT.format(**parts))


def _data(recipe: Recipe) -> dict:
    """Return the parts of the script that load, augment and batch images."""
    image, model, bounds = recipe.image, recipe.model, recipe.training.augmentation
    parts = {"height": image.height, "width": image.width, "antialias": image.antialias, "pad": "", "pad_words": ""}
    if image.fit == "pad":
        side, least = "tf.reduce_max(tf.shape(image)[:2])", f"{image.letterbox_px} pixels, or its longer side if more"
        parts["pad_words"] = f"center it on a black square of {least if image.letterbox_px else 'its longer side'}, "
        parts["pad"] = f"    side = {f'tf.maximum({image.letterbox_px}, {side})' if image.letterbox_px else side}\n"
        parts["pad"] += "    image = tf.image.resize_with_crop_or_pad(image, side, side)\n"
    parts |= {"tables": CLASSES, "columns": LABELS, "labels": ", labels", "batches": "images from 0 to 255, labels"}
    parts |= {"functions": "", "shuffle": "data.shuffle(len(rows))", "ending": ""}
    parts["second"] = " encoder.keras" * (model.has_encoder and model.is_pretrained)
    if bounds and bounds.copies > 1:
        by_chance = "tf.where(copy > 0, tf.random.uniform((), 1, 4, tf.int32), 0)"
        which = by_chance if bounds.variants == "simple" else "tf.cast(copy, tf.int32)"
        zoom_in, zoom_out = (round(1 / (1 + way * bounds.zoom) - 1, 6) for way in (1, -1))  # Keras': of what is seen
        parts["functions"] = MOVE_FUNCTION.format(
            turn=round(bounds.rotation_deg / 360, 6), zoom_in=zoom_in, zoom_out=zoom_out, which=which
        )
        parts["shuffle"] = f"data.repeat({bounds.copies}).enumerate().shuffle({bounds.copies} * len(rows))\n"
        parts["shuffle"] += "        data = data.map(lambda number, row: (move(row[0], number // len(rows)), *row[1:]))"
    if hasattr(model, "convolutions"):
        norm = "        x = layers.BatchNormalization()(x)\n" * model.batch_norm
        parts["functions"] += CONVOLVE_FUNCTION.format(
            convolutions=model.convolutions, bias=not model.batch_norm, norm=norm
        )
    if model.takes_attributes:
        parts |= {"tables": CLASSES + ATTRIBUTES, "second": " ATTRIBUTES.csv", "columns": LABELS + ATTRIBUTE_VALUES}
        parts |= {"labels": ", attr, labels", "batches": "(images from 0 to 255, attributes), one-hot labels"}
        parts["ending"] = "    data = data.map(lambda images, attr, labels: ((images, attr), labels))\n"
    elif model.is_autoencoder:
        target = "images / 127.5 - 1" if hasattr(model, "convolutions") else "tf.image.rgb_to_grayscale(images / 255)"
        parts["functions"] += PAIR_FUNCTION.format(salt=model.salt, pepper=model.pepper, target=target)
        parts |= {"tables": "", "labels": "", "columns": "", "batches": "noisy images and clean ones"}
        parts["ending"] = "    data = data.map(pair) if training else data.map(pair).cache()  # with fixed noise\n"
    if bounds and bounds.copies == 1 and (moves := _augmentation(bounds)):
        parts["functions"] = moves + parts["functions"]
        call = f"data.map(lambda images{parts['labels']}: (augment(images, training=True){parts['labels']}))"
        parts["ending"] = f"    if training:\n        data = {call}\n" + parts["ending"]
    return parts


def _augmentation(bounds: Augmentation) -> str:
    """Return the Keras layers nearest to the augmentation of marinecv."""
    flips, fill = {"horizontal": bounds.flip, "vertical": bounds.vertical_flip}, 'fill_mode="constant"'
    keras_layers = [f"RandomBrightness({bounds.brightness})"] * (bounds.brightness > 0)
    keras_layers += [f"RandomContrast({bounds.contrast})"] * (bounds.contrast > 0)
    factors = tuple(round((1 + s) / (2 + s), 6) for s in (-bounds.saturation, bounds.saturation))  # f means f / (1 - f)
    keras_layers += [f"RandomSaturation({factors}, value_range=(0, 1))"] * (bounds.saturation > 0)  # of the saturation
    keras_layers += [f'RandomFlip("{way}")' for way, fraction in flips.items() if fraction]
    keras_layers += [f"RandomRotation({round(bounds.rotation_deg / 360, 6)}, {fill})"] * (bounds.rotation_deg > 0)
    keras_layers += [f"RandomZoom(({-bounds.zoom}, {bounds.zoom}), {fill})"] * (bounds.zoom > 0)
    keras_layers += [f"RandomZoom(({-bounds.crop}, 0.0), {fill})"] * (bounds.crop > 0)
    keras_layers += [f"RandomTranslation({bounds.crop / 4}, {bounds.crop / 4}, {fill})"] * (bounds.crop > 0)
    keras_layers += [f"RandomErasing(({bounds.erasing}, {bounds.erasing}), fill_value=0.0)"] * (bounds.erasing > 0)
    note = f"# The nearest layers of Keras; marinecv flips {bounds.flip:g} of all images horizontally.\n"
    lines = "".join(f"        layers.{layer},\n" for layer in keras_layers)
    return f"{note}augment = keras.Sequential(\n    [\n{lines}    ]\n)\n\n\n" if keras_layers else ""


def _model(recipe: Recipe) -> dict:
    """Return the layers between `pixels` and `outputs`."""
    model, inputs = recipe.model, "[pixels, attribute_input]" if recipe.model.takes_attributes else "pixels"
    outputs = 'layers.Dense(len(class_names), activation="softmax")(x)'
    if model.is_cnn:
        lines = _cnn(model)
    elif model.has_backbone:
        lines = _backbone(model)
    elif hasattr(model, "convolutions"):
        lines = _convolutions(model)
        outputs = 'layers.Conv2D(3, 1, activation="tanh")(x)' if model.is_autoencoder else outputs
    else:
        units = [*model.units, *reversed(model.units[:-1])]
        lines = ["x = layers.Flatten()(keras.ops.image.rgb_to_grayscale(layers.Rescaling(1 / 255)(pixels)))"]
        lines += [f"for units in {units}:", '    x = layers.Dense(units, activation="relu")(x)']
        outputs = 'layers.Reshape((HEIGHT, WIDTH, 1))(layers.Dense(HEIGHT * WIDTH, activation="sigmoid")(x))'
    return {"inputs": inputs, "model": "\n".join([*lines, f"outputs = {outputs}"])}


def _head(model: ModelConfigs) -> list[str]:
    drop = f"x = layers.Dropout({model.dropout})(x)"
    dense = [f'x = layers.Dense({units}, activation="relu")(x)' for units in model.hidden]
    return [line for each in dense for line in (each, drop)] or [drop] * bool(model.dropout)


def _cnn(model: ModelConfigs) -> list[str]:
    blocks = ", ".join(map(str, zip(model.filters, model.kernels, model.pools, strict=True)))
    edge = "same" if model.padding is None else "valid"
    return [
        f"x = {NORMALIZATION_LAYERS[model.normalization]}",
        f"for filters, kernel, pool in [{blocks}]:",
        *[f"    x = layers.ZeroPadding2D({model.padding})(x)"] * bool(model.padding),
        f'    x = layers.Conv2D(filters, kernel, padding="{edge}", use_bias={not model.batch_norm})(x)',
        *["    x = layers.BatchNormalization()(x)"] * model.batch_norm,
        "    x = layers.ReLU()(x)",
        "    x = layers.MaxPooling2D(pool)(x)",
        f"x = layers.{POOLS[model.pooling][0]}()(x)",
        f'x = layers.Dense({model.dense}, activation="relu")(x)',
        f"x = layers.Dropout({model.dropout})(x)",
    ]


def _convolutions(model: ModelConfigs) -> list[str]:
    """Return the layers of a U-Net, or of its encoder with a head."""
    lines = [
        f"x, across = {NORMALIZATION_LAYERS['signed']}, []",
        f"for filters in {list(model.filters)}:",
        "    x = convolve(x, filters)",
        "    across.append(x)",
        "    x = layers.MaxPooling2D(2)(x)",
        f"x = convolve(x, {model.bottleneck})  # the code",
    ]
    if model.is_autoencoder:
        lines += [f"for filters in {[*reversed(model.filters)]}:"]
        lines += ["    x = layers.Conv2DTranspose(filters, 2, strides=2)(x)"]
        lines += ["    x = layers.Concatenate()([across.pop(), x])"] * model.skips
        return [*lines, "    x = convolve(x, filters)"]
    lines += ["encoder = keras.Model(pixels, x)"]
    lines += ["encoder.set_weights(keras.models.load_model(sys.argv[2]).get_weights())"] * (model.is_pretrained)
    lines += ["for layer in encoder.layers:", "    layer.trainable = False"] * model.frozen
    lines += [f"x = layers.{POOLS[model.pooling][0]}()(x)"]
    lines += ["x = layers.LayerNormalization(epsilon=1e-10)(x)  # an embedding may be near 0"] * model.frozen
    return lines + _head(model)


def _backbone(model: ModelConfigs) -> list[str]:
    entry = backbone_entry(model.backbone)
    options = dict(entry.options) | ({"alpha": model.alpha} if model.alpha != 1.0 else {})
    weights = '"imagenet"' if model.weights == "imagenet" else None
    settings = ["include_top=False", f"weights={weights}", "input_tensor=x"]
    settings += ["input_shape=(HEIGHT, WIDTH, 3)", *(f"{name}={value}" for name, value in options.items())]
    normalization = NORMALIZATION_LAYERS.get(model.normalization, NORMALIZATION_LAYERS[entry.input_range])
    lines = [f"x = {normalization}", f"base = keras.applications.{entry.factory}(", f"    {', '.join(settings)}", ")"]
    if model.weights not in WEIGHTS:
        lines += [f"base.load_weights({json.dumps(model.weights)})"]
    blocks = "".join(f"{json.dumps(name)}, " for name in model.trainable_blocks)
    last = f"layer in base.layers[-{model.trainable_layers}:]" if model.trainable_layers else "False"
    learns = [f"layer.name.startswith(({blocks.strip()}))"] if blocks else [last] * (model.trainable_layers is not None)
    learns += ["not isinstance(layer, layers.BatchNormalization)"] * (model.freeze_batch_norm and learns != ["False"])
    if learns:
        lines += ["for layer in base.layers:", f"    layer.trainable = {' and '.join(learns)}"]
        no_dropout = ["    if isinstance(layer, layers.Dropout) and not layer.trainable:", "        layer.rate = 0.0"]
        lines += no_dropout * entry.rescales_inside  # EfficientNet
    maps = ["base.output", *(f"base.get_layer({json.dumps(name)}).output" for name in model.also_pooled)]
    pooled = [f"layers.{pool}()({of})" for of in maps for pool in POOLS[model.pooling]]
    lines += [f"x = {pooled[0]}"]
    if len(pooled) > 1:
        lines[-1:] = ["x = layers.Concatenate()(", "    [", *(f"        {each}," for each in pooled), "    ]", ")"]
    if model.takes_attributes:
        lines += [f"attribute_input = keras.Input(({model.attributes},))  # attributes from 0 to 1"]
        lines += [f'y = layers.Dense({model.attribute_units}, activation="relu")(attribute_input)']
        lines += [f"y = layers.Dropout({model.dropout})(y)"]
        gate = f'layers.Dense({model.attribute_units}, activation="sigmoid")(x)'
        lines += [f"y = layers.Multiply()([y, {gate}])"] * (model.fusion == "gated")
        lines += ["x = layers.Concatenate()([x, y])"]
    return lines + _head(model)


def _training(recipe: Recipe) -> dict:
    """Return the callbacks, and the calls of compile and fit, for the head alone first if the recipe says so."""
    training, weigh, lines = recipe.training, "", []
    watched = f'"{training.monitor}", mode="{"min" if training.monitor.endswith("loss") else "max"}"'
    patience, reductions = training.early_stop_patience, training.early_stop_reductions * training.lr_patience
    is_cosine = training.schedule == "cosine"
    if 0 < reductions < patience and training.lr_factor < 1 and not is_cosine:  # stops after so many reductions
        patience = reductions
    callbacks = ["SwapEMAWeights(swap_on_epoch=True)"] * (training.ema > 0)
    callbacks += [f"EarlyStopping({watched}, patience={patience}, restore_best_weights=True)"]
    slower = f"ReduceLROnPlateau({watched}, factor={training.lr_factor}, patience={training.lr_patience})"
    callbacks += [slower] * (training.lr_factor < 1 and not is_cosine)
    head_epochs = min(training.head_epochs, training.epochs) if recipe.model.has_backbone else 0
    rate, epochs, watching = training.learning_rate, f"epochs={training.epochs}", "callbacks"
    if is_cosine:
        lines += ["schedule = keras.optimizers.schedules.CosineDecay"]
        decay = max(1, training.epochs - head_epochs - training.warmup_epochs)
        warmup = f"warmup_target={rate}, warmup_steps={training.warmup_epochs} * len(train)"
        rate = f"schedule(0.0, {decay} * len(train), {warmup})"
    if training.class_weights:
        lines += ['counts = catalog.loc[catalog["split"] == "train", "class_name"].value_counts()']
        lines += ["weights = counts.sum() / (len(counts) * counts)"]
        lines += ["class_weight = {n: weights[name] for n, name in enumerate(class_names) if name in weights}"]
        weigh = ", class_weight=class_weight"
    if head_epochs:
        stages = [f"(False, {training.head_learning_rate}, 0, {head_epochs}, callbacks[:1])"]
        stages += [f"(True, {rate}, {head_epochs}, {training.epochs}, callbacks)"] * (head_epochs < training.epochs)
        lines += ["learning = [layer for layer in base.layers if layer.trainable]  # after the head"]
        lines += [f"for learns, rate, first, last, watching in [{', '.join(stages)}]:"]
        lines += ["    for layer in learning:", "        layer.trainable = learns"]
        rate, epochs, watching = "rate", "initial_epoch=first, epochs=last", "watching"
    options = [str(rate), *(f"{name}={value}" for name, value in training.optimizer_options.items())]
    name, focal = "CategoricalCrossentropy(", f"CategoricalFocalCrossentropy(alpha=1.0, gamma={training.focal_gamma}, "
    loss = f"keras.losses.{focal if training.focal_gamma else name}label_smoothing={training.label_smoothing})"
    metrics = ", ".join(METRICS.get(name, json.dumps(name)) for name in training.metrics)
    judged = [f"    loss={loss},", f"    metrics=[{metrics}],"]
    fit, decayed = [], "model.trainable_variables"
    if training.decay_scope == "kernels":
        decayed = f"[each for each in {decayed} if len(each.shape) > 1]"
    if training.l2:
        fit += [f"for variable in {decayed}:  # half the sum of squares"]
        fit += [f"    variable.regularizer = keras.regularizers.L2({training.l2} / 2)"]
    fit += [f"model.compile(\n    optimizer=keras.optimizers.{OPTIMIZERS[training.optimizer]}({', '.join(options)}),"]
    fit += ['    loss="mse",'] if recipe.model.is_autoencoder else judged
    fit += [f")\nmodel.fit(train, validation_data=validation, {epochs}, callbacks={watching}{weigh}, shuffle=False)"]
    return {
        "callbacks": "\n".join(f"    keras.callbacks.{each}," for each in callbacks),
        "fit": "\n".join(lines + [indent("\n".join(fit), "    " * bool(head_epochs))]) + "\n",
        "batch_size": training.batch_size,
        "seed": training.seed,
    }
