// Detect objects in images with an exported model: detect MODEL.onnx THRESHOLD IMAGE...
//
// Prints a line "image class score x1 y1 x2 y2" for each detection, in pixels of the image. An image
// that cannot be used is named, the others are done, and the exit code is then 1.

#include <onnxruntime_cxx_api.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iostream>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <stdexcept>
#include <string>
#include <vector>

class Detector {
 public:
  explicit Detector(const char* model) : session_(env_, model, Ort::SessionOptions{}) {
    if (property("onenet_format") != "1") {
      throw std::runtime_error(std::string(model) + ": not a model of this project");
    }
    rgb_ = property("channel_order") == "RGB";
    shorter_side_ = std::stoi(property("shorter_side"));
    longest_side_ = std::stoi(property("longest_side"));
  }

  // Detections of at least this score, one line each.
  void print(const std::string& path, float threshold) {
    const cv::Mat image = cv::imread(path, cv::IMREAD_COLOR);
    if (image.empty()) throw std::runtime_error("not an image that OpenCV can read");
    const cv::Size size = network_size(image.size());
    std::vector<uint8_t> pixels = prepare(image, size);
    const std::array<int64_t, 4> shape{1, 3, size.height, size.width};
    const Ort::Value input = Ort::Value::CreateTensor<uint8_t>(
        memory_, pixels.data(), pixels.size(), shape.data(), shape.size());
    const std::array<const char*, 1> inputs{"images"};
    const std::array<const char*, 3> outputs{"boxes", "scores", "classes"};
    const auto found = session_.Run(Ort::RunOptions{}, inputs.data(), &input, inputs.size(),
                                    outputs.data(), outputs.size());
    const float* box = found[0].GetTensorData<float>();
    const float* scores = found[1].GetTensorData<float>();
    const int64_t* classes = found[2].GetTensorData<int64_t>();
    const int64_t count = found[1].GetTensorTypeAndShapeInfo().GetShape()[1];
    const float x = static_cast<float>(image.cols) / size.width;
    const float y = static_cast<float>(image.rows) / size.height;
    for (int64_t i = 0; i < count && scores[i] >= threshold; i++, box += 4) {  // best first
      if (box[2] <= box[0] || box[3] <= box[1]) continue;
      std::cout << path << ' ' << classes[i] << ' ' << scores[i] << ' ' << box[0] * x << ' '
                << box[1] * y << ' ' << box[2] * x << ' ' << box[3] * y << '\n';
    }
  }

 private:
  // What the file says about itself; see "What is in the file" in docs/deployment.md.
  std::string property(const char* key) {
    Ort::AllocatorWithDefaultOptions allocator;
    const auto value = session_.GetModelMetadata().LookupCustomMetadataMapAllocated(key, allocator);
    return value ? value.get() : "";
  }

  cv::Size network_size(const cv::Size& size) const {
    if (shorter_side_ == 0) return size;
    const double scale = std::min(shorter_side_ / double(std::min(size.width, size.height)),
                                  longest_side_ / double(std::max(size.width, size.height)));
    return {std::max(1, int(size.width * scale + 0.5)), std::max(1, int(size.height * scale + 0.5))};
  }

  // BGR (height, width, 3) -> (3, height, width) in the order that the network takes.
  std::vector<uint8_t> prepare(const cv::Mat& image, const cv::Size& size) const {
    cv::Mat resized = image;
    if (size != image.size()) {  // averaging is what comes near to the filter of Pillow
      const bool shrinks = size.area() < image.size().area();
      cv::resize(image, resized, size, 0, 0, shrinks ? cv::INTER_AREA : cv::INTER_LINEAR);
    }
    std::vector<uint8_t> pixels(3 * size.area());
    std::vector<cv::Mat> planes;
    for (int channel = 0; channel < 3; channel++) {
      const int plane = rgb_ ? 2 - channel : channel;
      planes.emplace_back(size, CV_8U, pixels.data() + plane * size.area());
    }
    cv::split(resized, planes);
    return pixels;
  }

  Ort::Env env_{ORT_LOGGING_LEVEL_WARNING, "onenet"};
  Ort::Session session_;
  Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
  bool rgb_ = true;
  int shorter_side_ = 0, longest_side_ = 0;
};

int main(int argc, char** argv) try {
  if (argc < 4) throw std::runtime_error("usage: detect MODEL.onnx THRESHOLD IMAGE...");
  Detector detector(argv[1]);
  const float threshold = std::stof(argv[2]);
  int status = 0;
  for (int i = 3; i < argc; i++) {
    try {
      detector.print(argv[i], threshold);
    } catch (const std::exception& error) {
      std::cerr << "error: " << argv[i] << ": " << error.what() << '\n';
      status = 1;
    }
  }
  return status;
} catch (const std::exception& error) {
  std::cerr << "error: " << error.what() << '\n';
  return 1;
}
