"use strict";
/* One slide in one part of the page: OpenSeadragon on tiles, its scale bar, and its field of view in microns. */

const MICRONS_AT_1 = 10; // microns for a pixel at 1×, by the custom of scanners: 0.25 at 40×
const LONGEST_BAR = 160; // pixels on the screen

/* OpenSeadragon would put a style here that the page's policy forbids; it is in slides.css, and this says so. */
document.head.append(document.createElement("style"));
document.head.lastChild.setAttribute("data-openseadragon-mobile-css", "true");

/* Where a tile is; the grant in it is replaced while one looks, so the address is made when it is asked for. */
function tileSource(image, at, grantOf) {
  return new OpenSeadragon.TileSource({
    width: image.width,
    height: image.height,
    tileSize: image.tile,
    tileOverlap: 0,
    getTileUrl: (level, column, row) => () => `/tiles/${grantOf()}/${at}_files/${level}/${column}_${row}.jpg`,
    getTileHashKey: (level, column, row) => `${image.key}/${level}/${column}_${row}`,
  });
}

class Pane {
  /* `opened` is what the gateway answered; `moved` and `failed` are told of this pane. */
  constructor(slide, opened, words, { moved, failed, chosen }) {
    this.slide = slide;
    this.grant = opened.grant;
    this.images = opened.images.map((image, at) => ({ ...image, key: `${slide.number}/${at}` }));
    this.at = 0;
    this.words = words;
    this.element = document.createElement("div");
    this.element.className = "pane";
    this.element.setAttribute("aria-label", slide.name);
    this.element.setAttribute("role", "group");
    this.element.addEventListener("pointerdown", () => chosen(this));
    this.element.addEventListener("focusin", () => chosen(this));
    this.view = this.element.appendChild(Object.assign(document.createElement("div"), { className: "view" }));
    this._label();
    this.scale = this.element.appendChild(Object.assign(document.createElement("div"), { className: "scale" }));
    this.bar = this.scale.appendChild(document.createElement("i"));
    this.told = this.scale.appendChild(document.createElement("span"));
    this._moved = moved;
    this._failed = failed;
  }

  _label() {
    const label = this.element.appendChild(Object.assign(document.createElement("div"), { className: "label" }));
    const { name, stain, block } = this.slide;
    label.textContent = [stain, block, name].filter(Boolean).join(" · ");
    if (this.images.length < 2) return;
    const areas = label.appendChild(document.createElement("select"));
    areas.setAttribute("aria-label", this.words.area);
    areas.append(...this.images.map((_, at) => new Option(`${this.words.area} ${at + 1}`, at)));
    areas.addEventListener("change", () => this.show(Number(areas.value)));
  }

  /* To be called once the element is in the page: OpenSeadragon measures it. Done when the slide can be moved. */
  start(field) {
    this.osd = OpenSeadragon({
      element: this.view,
      showNavigationControl: false,
      showNavigator: true,
      navigatorPosition: "BOTTOM_RIGHT",
      navigatorSizeRatio: 0.16,
      preserveImageSizeOnResize: true, // a slide that comes beside changes no magnification
      drawer: "canvas", // many reading rooms' machines draw WebGL without a graphics card
      animationTime: 0.4,
      blendTime: 0.1,
      maxZoomPixelRatio: 4,
      minZoomImageRatio: 0.6,
      imageLoaderLimit: 8,
      maxImageCacheCount: 600,
      timeout: 20000,
      keyboardNavEnabled: false,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
    });
    this.osd.addHandler("viewport-change", () => this._drawn());
    this.osd.addHandler("animation", () => this._moved(this));
    this.osd.addHandler("rotate", () => this._moved(this));
    this.osd.addHandler("resize", () => this._drawn());
    this.osd.addHandler("tile-load-failed", (event) => this._failed(this, event));
    this.osd.canvas.setAttribute("aria-label", this.slide.name);
    return this.show(this.at, field);
  }

  show(at, field) {
    this.at = at;
    return new Promise((shown) => {
      this.osd.addOnceHandler("open", () => {
        if (field) this.go(field);
        this._drawn();
        shown(this);
      });
      this.osd.open(tileSource(this.image, at, () => this.grant));
    });
  }

  get image() {
    return this.images[this.at];
  }

  get ready() {
    return Boolean(this.osd && this.osd.isOpen());
  }

  get microns() {
    return this.image.microns || 1; // unknown scale: a pixel is the unit
  }

  /* The field of view: its middle and the size of a screen's pixel in microns of the slide, and degrees. */
  get field() {
    const { viewport, world } = this.osd;
    const middle = world.getItemAt(0).viewportToImageCoordinates(viewport.getCenter(false));
    return {
      x: middle.x * this.microns,
      y: middle.y * this.microns,
      um: this.microns / viewport.viewportToImageZoom(viewport.getZoom(false)),
      turned: ((viewport.getRotation(false) % 360) + 360) % 360,
    };
  }

  /* Go to a field of view, whole or in part. */
  go({ x, y, um, turned }, immediately = true) {
    const { viewport, world } = this.osd;
    if (turned !== undefined) viewport.setRotation(turned, immediately);
    if (um) viewport.zoomTo(viewport.imageToViewportZoom(this.microns / um), undefined, immediately);
    if (x !== undefined) {
      const middle = new OpenSeadragon.Point(x / this.microns, y / this.microns);
      viewport.panTo(world.getItemAt(0).imageToViewportCoordinates(middle), immediately);
    }
  }

  whole() {
    this.osd.viewport.goHome();
  }

  zoom(by) {
    this.osd.viewport.zoomBy(by);
    this.osd.viewport.applyConstraints();
  }

  /* Move by shares of what is seen. */
  move(across, down) {
    const seen = this.osd.viewport.getBoundsNoRotate();
    this.osd.viewport.panBy(new OpenSeadragon.Point(across * seen.width, down * seen.height).rotate(-this.field.turned));
    this.osd.viewport.applyConstraints();
  }

  turn(degrees) {
    this.osd.viewport.setRotation(degrees);
  }

  _drawn() {
    if (!this.ready) return;
    const { viewport } = this.osd;
    const um = this.microns / viewport.viewportToImageZoom(viewport.getZoom(true));
    const { length, text } = barOf(um, Boolean(this.image.microns));
    this.bar.style.width = `${length}px`;
    const magnification = `${(MICRONS_AT_1 / um).toPrecision(2)}× · ${um.toPrecision(2)} µm/px`;
    this.told.textContent = this.image.microns ? `${text} · ${magnification}` : `${text} · ${this.words.unscaled}`;
  }

  end() {
    if (this.osd) this.osd.destroy();
    this.element.remove();
  }
}

/* The longest of 1, 2, 5 · 10ⁿ microns that is not longer than a bar may be. */
function barOf(um, scaled) {
  const most = LONGEST_BAR * um;
  const ten = 10 ** Math.floor(Math.log10(most));
  const length = [5, 2, 1].map((n) => n * ten).find((n) => n <= most);
  const text = !scaled ? `${length} px` : length >= 1000 ? `${length / 1000} mm` : `${length} µm`;
  return { length: Math.round(length / um), text };
}
